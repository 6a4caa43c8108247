"""Overlaps of polygons, against points that are counted."""

from __future__ import annotations

import numpy as np
import pytest

from univs.masks.polygon_overlaps import clipped, polygon_overlap, signed_area


def inside(polygon: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether points lie in a polygon, by the sides that a ray to the right crosses."""
    found = np.zeros(len(points), bool)
    x, y = points.T
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        crosses = (y0 > y) != (y1 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            found ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return found


def counted(first: np.ndarray, second: np.ndarray, size: tuple[int, int]) -> float:
    places = (np.stack(np.meshgrid(np.arange(0, size[1] * 20), np.arange(0, size[0] * 20)), -1) + 0.5) / 20
    points = places.reshape(-1, 2)
    a, b = inside(first, points), inside(second, points)
    return float((a & b).sum() / max((a | b).sum(), 1))


def turned(x: float, y: float, width: float, height: float, angle: float) -> np.ndarray:
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return corners @ turn + (x, y)


@pytest.mark.parametrize("seed", range(8))
def test_rotated_boxes(seed: int) -> None:
    draws = np.random.default_rng(seed)
    first, second = (
        turned(*draws.uniform(5, 25, 2), *draws.uniform(6, 25, 2), draws.uniform(0, 3.1)) for _ in range(2)
    )
    if seed % 2:
        second = second[::-1]
    want = counted(first, second, (24, 30))
    assert polygon_overlap(first, second, (24, 30)) == pytest.approx(want, abs=2e-3)
    assert polygon_overlap(second, first, (24, 30)) == pytest.approx(polygon_overlap(first, second, (24, 30)))


def test_dented_polygons() -> None:
    arrow = np.array([[2.0, 2], [14, 10], [2, 18], [6, 10]])
    box = turned(7, 10, 12, 7, 0.4)
    assert polygon_overlap(arrow, box, (20, 20)) == pytest.approx(counted(arrow, box, (20, 20)), abs=3e-3)
    assert polygon_overlap(arrow, np.roll(arrow, 1, 0)[::-1], (20, 20)) == pytest.approx(1)


def test_only_the_frame_counts() -> None:
    first, second = turned(10, 10, 20, 10, 0), turned(10, 12, 60, 14, 0)
    assert polygon_overlap(first, second, (20, 20)) == pytest.approx(20 * 10 / (20 * 14))
    assert polygon_overlap(first, first + 100, (20, 20)) == 0
    assert polygon_overlap(first + 100, first + 100, (20, 20)) == 0, "neither is in the frame"
    touching = turned(30, 10, 20, 10, 0)
    assert polygon_overlap(first, touching, (40, 60)) == 0
    assert polygon_overlap(np.zeros((4, 2)), first, (20, 20)) == 0, "a point has no area"


def test_clipping() -> None:
    square = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)]
    assert signed_area(square) == 16 and signed_area(square[::-1]) == -16
    assert signed_area(clipped([(2.0, 2.0), (9.0, 2.0), (9.0, 3.0), (2.0, 3.0)], square)) == pytest.approx(2)
    assert clipped([(5.0, 5.0), (6.0, 5.0), (6.0, 6.0)], square) == []
