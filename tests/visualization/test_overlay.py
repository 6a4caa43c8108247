from __future__ import annotations

import numpy as np
from scipy import ndimage

from univs import Box, Mask, Points, Scribble
from univs.visualization import draw_prompts, object_color, overlay
from univs.visualization.overlay import outline

FRAME = np.full((60, 90, 3), 100, np.uint8)


def labels_of(*blocks: tuple[int, int, int, int, int]) -> np.ndarray:
    labels = np.zeros(FRAME.shape[:2], np.int32)
    for object_id, top, bottom, left, right in blocks:
        labels[top:bottom, left:right] = object_id
    return labels


def test_inside_is_a_blend_outline_is_the_colour_outside_is_untouched() -> None:
    labels = labels_of((2, 20, 40, 30, 60))
    drawn = overlay(FRAME, labels, opacity=0.25, show_names=False)
    color = np.array(object_color(2))
    inside, edge = (slice(21, 39), slice(31, 59)), outline(labels)
    assert (drawn[inside] == np.round(0.75 * 100 + 0.25 * color)).all()
    assert (drawn[edge] == color).all() and edge.sum() == 2 * (20 + 30) - 4
    assert (drawn[labels == 0] == 100).all()
    assert (FRAME == 100).all()


def test_nothing_to_show_is_the_frame_itself() -> None:
    drawn = overlay(FRAME, labels_of())
    assert np.array_equal(drawn, FRAME) and drawn is not FRAME


def test_ids_of_any_size_have_their_own_colour() -> None:
    drawn = overlay(FRAME, labels_of((7, 0, 20, 0, 20), (70_000, 30, 50, 40, 80)), opacity=1, show_names=False)
    assert tuple(drawn[10, 10]) == object_color(7) and tuple(drawn[40, 60]) == object_color(70_000)


def test_names_are_written_on_chips_near_the_object() -> None:
    labels = labels_of((1, 30, 50, 30, 60))
    plain, named = overlay(FRAME, labels, show_names=False), overlay(FRAME, labels, {1: "dog"})
    changed = np.argwhere((plain != named).any(2))
    assert len(changed) > 50
    assert changed[:, 0].max() < 30 and changed[:, 0].min() > 5  # above the object
    numbered = overlay(FRAME, labels)
    assert not np.array_equal(numbered, named)


def test_outline_is_what_a_slow_distance_says() -> None:
    labels = np.random.default_rng(3).integers(0, 4, (12, 14)).repeat(4, 0).repeat(4, 1)
    for thickness in (1, 2, 3):
        expected = np.zeros(labels.shape, bool)
        for object_id in (1, 2, 3):
            steps = ndimage.distance_transform_cdt(np.pad(labels == object_id, 20, mode="edge"), metric="taxicab")
            expected |= (steps[20:-20, 20:-20] <= thickness) & (labels == object_id)
        assert np.array_equal(outline(labels, thickness), expected)


def test_prompts_are_drawn_where_they_are() -> None:
    mask = np.zeros(FRAME.shape[:2], bool)
    mask[40:55, 60:80] = True
    drawn = draw_prompts(
        FRAME, [Box(1, (10, 10, 30, 25)), Points(2, [(45, 20)]), Scribble(3, [[(0.8, 0.2), (0.9, 0.2)]]), Mask(4, mask)]
    )
    assert tuple(drawn[10, 20]) == tuple(drawn[24, 29]) == object_color(1)
    assert tuple(drawn[15, 20]) == (100, 100, 100)  # a box is an outline
    assert tuple(drawn[20, 45]) == object_color(2)
    assert tuple(drawn[12, 76]) == object_color(3)
    assert tuple(drawn[40, 70]) == object_color(4) and tuple(drawn[47, 70]) == (100, 100, 100)
    negative = draw_prompts(FRAME, [Points(2, [(45, 20)], [False])])
    assert tuple(drawn[20, 48]) == (255, 255, 255) and tuple(negative[20, 48]) == (230, 40, 40)
    assert tuple(negative[20, 45]) == object_color(2) and not np.array_equal(
        negative[14:27, 39:52], drawn[14:27, 39:52]
    )
