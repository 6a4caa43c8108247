"""T: polygons, shape contexts and matching against slow references; what costs nothing costs nothing."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from univs.evaluation.temporal_stability import (
    cheapest_path,
    context_costs,
    instability,
    outline_points,
    partner_costs,
    shape_contexts,
    simplify,
    trace_contours,
)


def rectangle(top: int, left: int, height: int, width: int, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def disc(y: float, x: float, radius: float, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def test_a_mask_that_only_moves_costs_nothing() -> None:
    for mask in (rectangle(5, 6, 20, 31), disc(25, 30, 14.3), disc(20, 20, 9) | rectangle(15, 20, 5, 30)):
        assert instability(mask, mask) == 0
        assert instability(mask, np.roll(mask, (4, 9), (0, 1))) == 0


def test_what_changes_costs_more_the_more_it_changes() -> None:
    small, larger = (instability(disc(30, 40, 18), rectangle(12, 22, 36, 36 + grown)) for grown in (0, 20))
    assert 0 < instability(rectangle(5, 5, 20, 30), rectangle(5, 5, 20, 36)) < small < larger


def test_an_empty_mask_has_no_outline() -> None:
    empty = np.zeros((20, 20), bool)
    assert math.isnan(instability(empty, disc(10, 10, 5, (20, 20))))
    assert math.isnan(instability(disc(10, 10, 5, (20, 20)), empty))


def test_contours_run_along_the_edges_of_pixels() -> None:
    (contour,) = trace_contours(rectangle(2, 3, 4, 5))
    assert contour.tolist() == [[3, 2], [8, 2], [8, 6], [3, 6]]
    ring = rectangle(2, 3, 9, 9) & ~rectangle(5, 6, 2, 2)
    assert [len(line) for line in trace_contours(ring)] == [4, 4]
    touching = rectangle(0, 0, 2, 2, (4, 4)) | rectangle(2, 2, 2, 2, (4, 4))
    assert [line.tolist() for line in trace_contours(touching)] == [
        [[0, 0], [2, 0], [2, 2], [0, 2]],
        [[2, 2], [4, 2], [4, 4], [2, 4]],
    ]


@pytest.mark.parametrize("seed", range(5))
def test_contours_enclose_the_area(seed: int) -> None:
    mask = np.random.default_rng(seed).random((9, 11)) > 0.5
    area = 0.0
    for line in trace_contours(mask):
        x, y = line.T
        area += float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2  # holes run the other way round
    assert area == mask.sum()


def test_simplifying_stays_within_the_tolerance() -> None:
    (contour,) = trace_contours(disc(30, 40, 25))
    polygon = simplify(contour)
    assert 4 <= len(polygon) < len(contour) / 3
    for point in contour:
        distances = []
        for start, end in zip(polygon, np.roll(polygon, -1, 0), strict=True):
            along = np.clip((point - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
            distances.append(np.hypot(*(point - start - along * (end - start))))
        assert min(distances) <= 3
    square = np.array([[0, 0], [10, 0], [10, 2], [10, 10], [0, 10]], float)
    assert simplify(square).tolist() == [[0, 0], [10, 0], [10, 10], [0, 10]]


def test_points_lie_at_most_three_pixels_apart() -> None:
    points = outline_points(rectangle(2, 3, 10, 30))
    steps = np.hypot(*(np.roll(points, -1, 0) - points).T)
    assert len(points) == 2 * (10 + 4) and steps.max() == 3 and steps.min() == 2.5


def test_shape_contexts_count_what_is_seen() -> None:
    points = np.random.default_rng(3).normal(0, 10, (17, 2))
    contexts = shape_contexts(points)
    mean = np.mean([np.hypot(*(a - b)) for a in points for b in points])
    limits = [mean * 2 ** (k - 3) for k in range(5)]
    for row, here in enumerate(points):
        counts = np.zeros((12, 5))
        for there in points:
            distance = np.hypot(*(there - here))
            ring = sum(distance >= limit for limit in limits)
            if ring < 5:
                angle = math.atan2(*(there - here)[::-1]) % (2 * math.pi)
                counts[int(angle / (math.pi / 6)), ring] += 1
        np.testing.assert_allclose(contexts[row], counts.reshape(-1) / counts.sum(), atol=1e-12)


def test_costs_are_half_chi_square() -> None:
    first, second = (np.random.default_rng(seed).dirichlet(np.full(60, 0.1), 7) for seed in (0, 1))
    first[0] = second[0] = np.eye(60)[3]
    slow = [
        [0.5 * sum((x - y) ** 2 / (x + y) for x, y in zip(a, b, strict=True) if x + y) for b in second] for a in first
    ]
    np.testing.assert_allclose(context_costs(first, second), slow, atol=1e-12)
    assert context_costs(first, second)[0, 0] == 0


@pytest.mark.parametrize("seed", range(6))
def test_the_path_is_the_cheapest(seed: int) -> None:
    costs = np.random.default_rng(seed).random((6 + seed, 9))

    @cache
    def least(row: int, column: int) -> float:
        if row == column == 0:
            return 0.0
        before = [(row - 1, column - 1), (row - 1, column), (row, column - 1)]
        return costs[row, column] + min(least(*place) for place in before if min(place) >= 0)

    path = cheapest_path(costs)
    assert path[0].tolist() == [0, 0] and path[-1].tolist() == [costs.shape[0] - 1, 8]
    assert {tuple(step) for step in np.diff(path, axis=0).tolist()} <= {(0, 1), (1, 0), (1, 1)}
    assert costs[path[1:, 0], path[1:, 1]].sum() == pytest.approx(least(costs.shape[0] - 1, 8), abs=1e-12)


def test_every_point_keeps_one_partner() -> None:
    costs = np.array([[0.3, 0.1, 0.9], [0.9, 0.2, 0.05]])
    path = np.array([[0, 0], [0, 1], [1, 1], [1, 2]])
    assert sorted(partner_costs(costs, path)) == [0.05, 0.1]
    assert partner_costs(costs[:, :2], path[:3]) == [0.1]  # both rows want column 1
