"""Strokes as pixels, against a slow reading of what a brush is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from univs.errors import UserError
from univs.interactive.drawing import draw_signs, draw_stroke
from univs.interactive.interactions import Click, Interactions, Stroke, about_each


def slow_stroke(stroke: Stroke, size: tuple[int, int]) -> np.ndarray:
    touched = np.zeros(size, bool)
    points = [(round(x), round(y)) for x, y in stroke.xy]
    radius = 0 if stroke.size == 1 else (stroke.size + 1) // 2
    for start, end in list(zip(points, points[1:], strict=False)) or [(points[0], points[0])]:
        length = math.dist(start, end)
        for y, x in np.ndindex(*size):
            near = min(math.dist((x, y), start), math.dist((x, y), end)) <= radius
            if length:
                dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
                along = (x - start[0]) * dx + (y - start[1]) * dy
                across = abs((x - start[0]) * dy - (y - start[1]) * dx)
                half = max(abs(dx), abs(dy)) / 2
                near |= across < radius + half and -half < along < length + half
            touched[y, x] |= near
    return touched


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_strokes_against_a_loop(size: int) -> None:
    rng = np.random.default_rng(size)
    for _ in range(8):
        xy = tuple((float(x), float(y)) for x, y in rng.uniform((-4, -4), (34, 24), (rng.integers(1, 4), 2)))
        stroke = Stroke(xy, size=size)
        assert np.array_equal(draw_stroke(stroke, (20, 30)), slow_stroke(stroke, (20, 30))), stroke


def test_widths() -> None:
    for size, wide in ((1, 1), (2, 3), (3, 5), (7, 9)):
        drawn = draw_stroke(Stroke(((5, 12), (25, 12)), size=size), (25, 30))
        assert drawn[:, 15].sum() == wide and drawn[12 - wide // 2, 15] and drawn[12 + wide // 2, 15]
    single = draw_stroke(Stroke(((4, 4),), size=1), (9, 9))
    assert single.sum() == 1 and single[4, 4]
    assert not draw_stroke(Stroke(((-40, -40), (-30, -20)), size=9), (9, 9)).any()


def test_later_strokes_lie_upon_earlier_ones() -> None:
    across, down = ((0, 5), (10, 5)), ((5, 0), (5, 10))
    positive, negative = draw_signs([Stroke(across), Stroke(down, positive=False)], (11, 11))
    assert negative[5, 5] and not positive[5, 5] and positive[5, 1] and not (positive & negative).any()
    positive, negative = draw_signs([Stroke(down, positive=False), Stroke(across)], (11, 11))
    assert positive[5, 5] and not negative[5, 5]


def test_what_is_said_of_others_is_said_against_an_object() -> None:
    stroke, click = Stroke(((1, 2),)), Click(3, 4)
    said = about_each([(1, stroke), (2, click), (0, stroke)], [1, 2])
    assert [s.positive for s in said[1].strokes] == [True, False] and [c.positive for c in said[1].clicks] == [False]
    assert [s.positive for s in said[2].strokes] == [False, False] and [c.positive for c in said[2].clicks] == [True]
    assert said[1].kinds() == {"strokes", "clicks"} and Interactions().kinds() == set()


def test_interactions_in_a_part_of_the_frame() -> None:
    said = Interactions((Stroke(((10, 20), (30, 40)), False, 5),), (Click(11, 22, False),), (12, 24, 40, 50))
    moved = said.moved(10, 20)
    assert moved.strokes == (Stroke(((0, 0), (20, 20)), False, 5),)
    assert moved.clicks == (Click(1, 2, False),) and moved.box == (2, 4, 30, 30)


def test_rude_strokes() -> None:
    with pytest.raises(UserError, match="no point"):
        Stroke(())
    for size in (0, 101):
        with pytest.raises(UserError, match=f"a brush of size {size}: sizes are 1 to 100"):
            Stroke(((1, 1),), size=size)


def test_rude_places() -> None:
    nan = float("nan")
    with pytest.raises(UserError, match="a stroke goes through 1,nan; coordinates are finite numbers"):
        Stroke(((0, 0), (1, nan)))
    with pytest.raises(UserError, match="a click is at inf,3"):
        Click(float("inf"), 3)
    Interactions((Stroke(((-5, 99), (3, 3))),), (Click(39, 19),), (0, 0, 40, 20)).validate(20, 40)
    for x, y in ((40, 3), (-1, 3), (3, 20), (3, -0.5)):
        with pytest.raises(UserError, match=r"lies outside the frame; x must be in 0\.\.39 and y in 0\.\.19"):
            Interactions(clicks=(Click(x, y),)).validate(20, 40)
    for box in ((5, 5, 5, 9), (9, 5, 5, 9), (-1, 0, 5, 9), (0, 0, 41, 9), (0, 0, 5, 21), (0, 9, 5, 4)):
        with pytest.raises(UserError, match="is none in the frame"):
            Interactions(box=box).validate(20, 40)
