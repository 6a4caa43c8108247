"""Several objects on one frame: who is asked, and who wins where they meet."""

from __future__ import annotations

import numpy as np
import pytest

from univs.errors import UserError
from univs.interactive.interactions import Click, Interactions, Stroke
from univs.interactive.segmenters import PaintingSegmenter, labels_of, segment_objects

FRAME = np.zeros((20, 30, 3), np.uint8)


def test_painting_adds_and_erases_in_order() -> None:
    current = np.full((20, 30), 0.25, np.float32)
    line, dot = ((2, 10), (28, 10)), ((15, 10),)
    painted = PaintingSegmenter().segment(
        FRAME, current, Interactions((Stroke(line, size=1), Stroke(dot, positive=False, size=3)))
    )
    assert painted[10, 2] == 1 and painted[10, 15] == 0 and painted[10, 13] == 0 and painted[10, 12] == 1
    assert painted[0, 0] == 0.25 and (current == 0.25).all()


def test_objects_meet_and_the_likelier_wins() -> None:
    alone = np.array([[[0.9, 0.6, 0.2, 0.4]], [[0.3, 0.7, 0.3, 0.45]]], np.float32)
    assert labels_of(alone, [3, 300]).tolist() == [[3, 300, 0, 300]]
    # prod(1 - p) is 0.33 on the last pixel, less than 0.45; a background of 0.5 is more
    assert labels_of(alone, [3, 300], 0.5).tolist() == [[3, 300, 0, 0]]


def test_objects_of_which_nothing_is_said_stay() -> None:
    current = np.zeros((20, 30), np.uint8)
    current[:, :10], current[:, 20:] = 1, 2
    said = {1: Interactions(), 2: Interactions((Stroke(((12, 5), (18, 5)), size=1),))}
    found = segment_objects(PaintingSegmenter(), FRAME, current, said)
    assert np.array_equal(found.labels[6:], current[6:]) and (found.labels[5, 12:19] == 2).all()
    assert found.alone.shape == (2, 20, 30)


def test_what_a_segmenter_does_not_take_is_refused() -> None:
    said = {1: Interactions(clicks=(Click(1, 1),), box=(0, 0, 3, 3))}
    with pytest.raises(UserError, match="takes strokes and not box, clicks"):
        segment_objects(PaintingSegmenter(), FRAME, np.zeros((20, 30), np.uint8), said)


def test_clicks_outside_the_frame_are_refused_before_anything_is_asked() -> None:
    class Clicked(PaintingSegmenter):
        takes = frozenset({"clicks"})

    with pytest.raises(UserError, match="the click at 30,5 lies outside the frame"):
        segment_objects(Clicked(), FRAME, np.zeros((20, 30), np.uint8), {1: Interactions(clicks=(Click(30, 5),))})
    with pytest.raises(UserError, match="nothing is said about any object"):
        segment_objects(Clicked(), FRAME, np.zeros((20, 30), np.uint8), {})
