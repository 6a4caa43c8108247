"""What is said about objects: masks where these alone are of use, and strokes as clicks."""

from __future__ import annotations

import numpy as np
import pytest

from univs.errors import UserError
from univs.prompts import Box, Mask, Points, Scribble
from univs.trackers.object_prompts import ObjectPrompt, by_object, dots_along, shown_masks, strokes_as_clicks


def test_masks_of_one_object_are_united() -> None:
    left, right = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    left[:, 0], right[:, 3] = True, True
    found = shown_masks(by_object([Mask(2, left), Mask(1, right), Mask(2, right)]), "a network")
    assert list(found) == [2, 1]
    assert np.array_equal(found[2], left | right) and np.array_equal(found[1], right)


@pytest.mark.parametrize("other", [Box(1, (0, 0, 2, 2)), Points(1, [(1, 1)], [True])])
def test_anything_else_is_refused(other: Box | Points) -> None:
    shown = Mask(1, np.ones((4, 4), bool))
    with pytest.raises(UserError, match="object 1 is not shown by a mask, and a network takes nothing else"):
        shown_masks(by_object([other]), "a network")
    with pytest.raises(UserError, match="object 1 is not shown by a mask"):
        shown_masks(by_object([shown, other]), "a network")


def test_dots_lie_at_even_distances_within_a_stroke() -> None:
    assert dots_along(np.array([[0.0, 0], [6, 0], [6, 6]])).tolist() == [[3, 0], [6, 0], [6, 3]]
    assert dots_along(np.array([[0.0, 0], [6, 0]]), 5).tolist() == [[1, 0], [2, 0], [3, 0], [4, 0], [5, 0]]
    assert dots_along(np.array([[2.0, 1], [2, 1]])).tolist() == [[2, 1]]


def test_strokes_become_clicks_in_the_pixels_of_the_frame() -> None:
    """0 and 1 are the first and the last pixel, whose middles are clicked at; what else was said stays."""
    box, click = Box(3, (0, 0, 9, 9)), Points(3, [(5, 5)], [False])
    strokes = [Scribble(3, [[(0, 0), (1, 0)], [(0.5, 1.0)]]), Scribble(3, [[(0, 1), (0, 0)]])]
    found = strokes_as_clicks(ObjectPrompt([click], [box], scribbles=strokes), height=21, width=41)
    assert found.scribbles == [] and found.boxes == [box] and found.points[0] == click
    (_, dots) = found.points
    assert dots.object_id == 3 and set(dots.labels) == {True}
    assert dots.xy == ((10.5, 0.5), (20.5, 0.5), (30.5, 0.5), (20.5, 20.5), (0.5, 15.5), (0.5, 10.5), (0.5, 5.5))
    assert len(strokes) == 2, "what was given is as it was"
    silent = ObjectPrompt([click])
    assert strokes_as_clicks(silent, 21, 41) is silent


def test_many_strokes_are_so_many_clicks_at_most() -> None:
    rows = [[(0.1, y), (0.9, y)] for y in np.linspace(0, 1, 40)]
    (dots,) = strokes_as_clicks(ObjectPrompt(scribbles=[Scribble(1, rows)]), 101, 101).points
    assert len(dots.xy) == 32 and np.allclose(dots.xy[0], (30.5, 0.5)) and np.allclose(dots.xy[-1], (70.5, 100.5))
    assert [y for _, y in dots.xy] == sorted(y for _, y in dots.xy)
