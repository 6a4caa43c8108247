"""Rotated boxes are drawn along their sides, in the colour of their object."""

from __future__ import annotations

import numpy as np

from univs.visualization import draw_rotated_boxes, object_color

FRAME = np.full((60, 80, 3), 40, np.uint8)


def test_sides_have_the_colour_of_the_object_and_a_white_rim() -> None:
    turned = ((40.0, 10.0), (60.0, 30.0), (40.0, 50.0), (20.0, 30.0))
    drawn = draw_rotated_boxes(FRAME, {3: turned})
    for x, y in ((50, 20), (50, 40), (30, 40), (30, 20)):
        assert tuple(drawn[y, x]) == object_color(3)
    assert (drawn[18:23, 46:55] == 255).all(-1).any(), "beside it a white rim"
    assert (drawn[30, 40] == 40).all() and (drawn[5, 5] == 40).all(), "inside and outside nothing changes"
    assert (FRAME == 40).all()


def test_corners_outside_of_the_frame_and_no_boxes() -> None:
    drawn = draw_rotated_boxes(FRAME, {1: ((-20.0, 20.0), (100.0, 20.0), (100.0, 90.0), (-20.0, 90.0))})
    assert tuple(drawn[20, 40]) == object_color(1)
    assert draw_rotated_boxes(FRAME, {}) is FRAME
