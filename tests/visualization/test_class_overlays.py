"""Semantic and panoptic maps over frames."""

from __future__ import annotations

import numpy as np

from univs.visualization import class_palette, overlay_panoptic, overlay_semantic

FRAME = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
PALETTE = [(200, 0, 0), (0, 100, 0), (0, 0, 50)]


def test_classes_are_mixed_with_their_colour_and_others_left_alone():
    labels = np.full((60, 80), -1)
    labels[:20], labels[20:30], labels[30:40] = 0, 2, 7
    drawn = overlay_semantic(FRAME, labels, PALETTE, opacity=0.25)
    np.testing.assert_array_equal(drawn[30:], FRAME[30:])
    for rows, number in ((slice(0, 20), 0), (slice(20, 30), 2)):
        exact = FRAME[rows] * 0.75 + np.array(PALETTE[number]) * 0.25
        assert np.abs(drawn[rows] - exact).max() <= 0.51
    np.testing.assert_array_equal(overlay_semantic(FRAME, labels.astype(np.int16) * 0 + 255, PALETTE), FRAME)


def test_names_are_written_inside_their_segments_if_these_are_large():
    labels = np.zeros((60, 80), np.uint8)
    labels[:, 40:] = 1
    labels[:3, :3] = 2
    plain = overlay_semantic(FRAME, labels, PALETTE)
    named = overlay_semantic(FRAME, labels, PALETTE, ["sky", "sea", "speck"])
    changed = (plain != named).any(-1)
    assert changed[:, :40].any() and changed[:, 40:].any() and not changed[:3].any()
    columns = np.flatnonzero(changed.any(0))
    assert columns[columns < 40].max() < 34 and columns[columns >= 40].min() > 46  # each in the middle of its half


def test_things_of_one_class_differ_and_are_outlined():
    segments = np.zeros((60, 80), np.uint16)
    segments[:, :] = 300
    segments[10:30, 10:30], segments[10:30, 40:60], segments[50:, :5] = 1, 2, 9
    black = np.zeros((60, 80, 3), np.uint8)
    classes = {300: 1, 1: 0, 2: 0}
    drawn = overlay_panoptic(black, segments, classes, PALETTE, things={1, 2}, opacity=1.0)
    assert tuple(drawn[0, 0]) == PALETTE[1]
    assert tuple(drawn[20, 20]) == (214, 64, 64) and tuple(drawn[20, 50]) == (160, 0, 0)
    assert (drawn[10, 10:30] == 250).all() and (drawn[9, 10:30] == PALETTE[1]).all()
    np.testing.assert_array_equal(drawn[51:, :5], black[51:, :5])
    as_stuff = overlay_panoptic(black, segments, classes, PALETTE, opacity=1.0)
    assert tuple(as_stuff[20, 20]) == tuple(as_stuff[20, 50]) == tuple(as_stuff[10, 10]) == PALETTE[0]


def test_a_palette_tells_its_classes_apart_and_grows_at_the_end():
    colors = np.array(class_palette(60), float)
    assert class_palette(200)[:60] == class_palette(60) and len(set(class_palette(400))) > 380
    apart = np.abs(colors[:, None] - colors[None]).sum(-1) + 999 * np.eye(60)
    assert apart.min() > 8
    assert all(np.abs(colors[i] - colors[i + 1]).sum() > 100 for i in range(59))
