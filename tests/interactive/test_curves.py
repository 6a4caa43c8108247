"""Bezier curves by de Casteljau, lines of pixels by their definition, scribbles as maps."""

from __future__ import annotations

import numpy as np
import pytest

from univs.interactive.curves import NOTHING, bezier, bresenham, draw_paths


def de_casteljau(points: np.ndarray, t: float) -> np.ndarray:
    while len(points) > 1:
        points = (1 - t) * points[:-1] + t * points[1:]
    return points[0]


@pytest.mark.parametrize("count", [1, 2, 3, 40, 700])
def test_curves_against_de_casteljau(count: int) -> None:
    points = np.random.default_rng(count).random((count, 2)) * 100
    curve = bezier(points, 5)
    expected = [de_casteljau(points, t) for t in (0, 0.25, 0.5, 0.75, 1)]
    assert np.allclose(curve, expected, atol=1e-8)


def test_each_pixel_of_a_line_is_the_nearest() -> None:
    rng = np.random.default_rng(0)
    for start, end in rng.integers(-20, 20, (40, 2, 2)):
        line = bresenham(np.array([start, end]))
        steps = np.abs(end - start).max()
        assert len(line) == steps + 1 and (line[0] == start).all() and (line[-1] == end).all()
        exact = start + np.arange(steps + 1)[:, None] * (end - start) / max(steps, 1)
        assert np.abs(line - exact).max() <= 0.5
        assert (np.abs(np.diff(line, axis=0)).max(1) == 1).all()


def test_ends_of_lines_come_once() -> None:
    assert bresenham(np.array([[0, 0], [2, 0], [2, 0], [2, 2]])).tolist() == [[0, 0], [1, 0], [2, 0], [2, 1], [2, 2]]


def test_paths_fall_on_pixels_and_later_ones_lie_above() -> None:
    across, down = [(0.0, 0.5), (1.0, 0.5)], [(0.5, 0.0), (0.5, 1.0)]
    drawn = draw_paths([(1, across), (0, down)], (5, 9))
    assert (drawn[2, :4] == 1).all() and (drawn[:, 4] == 0).all() and drawn[0, 0] == NOTHING
    assert (drawn == 1).sum() == 8
    points = draw_paths([(2, across)], (5, 9), "points")
    assert np.argwhere(points == 2).tolist() == [[2, 0], [2, 8]]
    # rounded down: 0.99 of the last pixel is not the last pixel
    assert np.argwhere(draw_paths([(2, [(0.99, 0.99)])], (5, 9)) == 2).tolist() == [[3, 7]]
    bent = draw_paths([(1, [(0, 0), (1, 0), (1, 1)])], (9, 9), "curves")
    assert bent[0, 0] == 1 and bent[8, 8] == 1 and bent[0, 8] == NOTHING and bent[2, 6] == 1
