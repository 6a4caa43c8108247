"""T: polygons, points along them, shape contexts and matching against slow references, and cases done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from univs.evaluation.metrics.cheapest_path import cheapest_path
from univs.evaluation.metrics.temporal_stability import (
    best_pair,
    context_costs,
    difference,
    outline_contexts,
    outline_polygon,
    partner_costs,
    points_along,
    shape_contexts,
)


def instability(before: np.ndarray, after: np.ndarray) -> float:
    """T of two masks that follow each other."""
    return difference(outline_contexts(before), outline_contexts(after))


def rectangle(top: int, left: int, height: int, width: int, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def disc(y: float, x: float, radius: float, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def test_a_mask_that_stays_costs_nothing_and_one_that_moves_next_to_nothing() -> None:
    """Points are counted up in single precision from where the mask is, so another place may turn an angle over."""
    for mask in (rectangle(5, 6, 20, 31), disc(25, 30, 14.3), disc(20, 20, 9) | rectangle(15, 20, 5, 30)):
        assert instability(mask, mask) == 0
        assert 0 <= instability(mask, np.roll(mask, (4, 9), (0, 1))) < 0.012
    assert instability(rectangle(5, 6, 12, 30), rectangle(9, 15, 12, 30)) == 0  # every third pixel a point


def test_what_changes_costs_more_the_more_it_changes() -> None:
    small, larger = (instability(disc(30, 40, 18), rectangle(12, 22, 36, 36 + grown)) for grown in (0, 20))
    assert 0 < instability(rectangle(5, 5, 20, 30), rectangle(5, 5, 20, 36)) < small < larger


def test_without_a_polygon_there_is_no_figure() -> None:
    some = disc(10, 10, 5, (20, 20))
    empty, pixel, line = np.zeros((20, 20), bool), rectangle(3, 4, 1, 1, (20, 20)), rectangle(3, 4, 1, 9, (20, 20))
    for nothing in (empty, pixel, line):
        assert len(outline_contexts(nothing)) == 0
        assert math.isnan(instability(nothing, some)) and math.isnan(instability(some, nothing))
    assert math.isnan(instability(empty, empty))


def test_a_polygon_goes_down_the_left_side_last() -> None:
    """Traced down, right, up, left and then reversed; from the upper left corner and back to it, (x, y)."""
    assert outline_polygon(rectangle(2, 3, 4, 5)).tolist() == [[3, 2], [8, 2], [8, 6], [3, 6], [3, 2]]
    full = outline_polygon(np.ones((6, 9), bool))
    assert full.tolist() == [[0, 0], [9, 0], [9, 6], [0, 6], [0, 0]]


def test_a_hole_goes_the_other_way_round() -> None:
    """A hole in the form of a cross has more corners than the square around it: down from the first, not right."""
    mask = np.ones((30, 30), bool)
    mask[10:20, 4:26] = mask[4:26, 10:20] = False
    assert outline_polygon(mask)[:3].tolist() == [[10, 4], [10, 10], [4, 10]]
    assert outline_polygon(~mask)[:3].tolist() == [[10, 4], [20, 4], [20, 10]]


def test_three_corners_are_a_polygon() -> None:
    stairs = np.tril(np.ones((24, 24), bool))
    assert outline_polygon(stairs).tolist() == [[0, 0], [24, 24], [0, 24], [0, 0]]


def test_the_tolerance_is_one_and_a_half_pixels() -> None:
    """A tooth one pixel high goes, one of two pixels stays; a mask one pixel high has no polygon, one of two has."""
    shallow, deep = rectangle(10, 10, 20, 30), rectangle(10, 10, 20, 30)
    shallow[30, 24] = deep[30:32, 24] = True  # below: on top it would be where the outline begins
    assert len(outline_polygon(shallow)) == 5 and len(outline_polygon(deep)) > 5
    assert [len(outline_polygon(rectangle(3, 3, height, 20))) for height in (1, 2)] == [0, 5]


def test_of_all_outlines_the_one_of_most_corners_counts_and_of_equals_the_upper_one() -> None:
    below, upper = rectangle(30, 10, 20, 60), rectangle(5, 40, 6, 8)
    assert outline_polygon(below | upper)[0].tolist() == [40, 5]
    notched = below.copy()
    notched[30:40, 20:40] = False
    assert outline_polygon(notched | upper)[0].tolist() == [10, 30]


def test_a_corner_may_be_kept_on_a_straight_line() -> None:
    """The notch's floor is equally far from its mouth everywhere; rounding picks the point in the first pass."""
    notched = rectangle(30, 10, 20, 60)
    notched[30:40, 20:40] = False
    corners = [[10, 30], [20, 30], [20, 40], [23, 40], [40, 40], [40, 30], [70, 30], [70, 50], [10, 50], [10, 30]]
    assert outline_polygon(notched).tolist() == corners


def test_of_equals_one_that_touches_another_at_a_corner_counts() -> None:
    """Loops that begin at a junction come after all others, the lower pixel's after the upper one's."""
    touching = rectangle(30, 10, 8, 8) | rectangle(38, 18, 9, 7) | rectangle(2, 50, 8, 8)
    assert outline_polygon(touching)[0].tolist() == [18, 38]
    assert {tuple(corner) for corner in outline_polygon(touching).tolist()} == {(18, 38), (25, 38), (25, 47), (18, 47)}


def slow_points(polygon: list[list[float]]) -> list[list[float]]:
    points = [[np.float32(value) for value in polygon[0]]]
    for end in polygon[1:]:
        x, y = points[-1]
        across, up = np.float32(end[0]) - x, np.float32(end[1]) - y
        parts = max(1, math.ceil(np.sqrt(across * across + up * up) / np.float32(3)))
        for _ in range(parts - 1):
            x, y = x + across / np.float32(parts), y + up / np.float32(parts)
            points.append([x, y])
        points.append([np.float32(end[0]), np.float32(end[1])])
    return [[float(x), float(y)] for x, y in points]


@pytest.mark.parametrize("seed", range(10))
def test_points_between_corners_equal_a_slow_count(seed: int) -> None:
    polygon = np.random.default_rng(seed).integers(0, 400, (9, 2)).astype(float)
    assert points_along(polygon).tolist() == slow_points(polygon.tolist())


def test_points_lie_at_most_three_pixels_apart() -> None:
    points = points_along(outline_polygon(rectangle(2, 3, 10, 30)))
    steps = np.hypot(*np.diff(points, axis=0).T)
    assert len(points) == 2 * (10 + 4) + 1 and steps.max() == 3 and steps.min() == 2.5
    assert points_along(np.array([[0.0, 0], [3, 0], [3, 1]])).tolist() == [[0, 0], [3, 0], [3, 1]]


def slow_counts(points: np.ndarray) -> np.ndarray:
    """How many points each sees (itself included), M x 5 radii (the outer ring first) x 12 angles."""
    mean = sum(math.dist(a, b) for a in points for b in points) / len(points) ** 2
    counts = np.zeros((len(points), 5, 12))
    for number, here in enumerate(points):
        for there in points:
            beyond = sum(math.dist(here, there) / mean < 2.0 ** (k - 3) for k in range(5))
            angle = math.atan2(there[1] - here[1], there[0] - here[0]) % (2 * math.pi)
            if beyond:
                counts[number, beyond - 1, int(angle / (math.pi / 6))] += 1
    return counts


@pytest.mark.parametrize("seed", range(4))
def test_shape_contexts_count_what_is_seen(seed: int) -> None:
    points = np.random.default_rng(seed).normal(0, 10, (17, 2))
    counts = slow_counts(points).reshape(17, 60)
    np.testing.assert_allclose(shape_contexts(points), counts / counts.sum(1, keepdims=True), atol=1e-12)


def test_three_points_by_hand() -> None:
    """Distances 3, 4, 5 and three zeros: their mean is 8/3, and all three are in the outer ring."""
    contexts = shape_contexts(np.array([[0.0, 0], [3, 0], [0, 4]])).reshape(3, 5, 12) * 3
    itself, ring = (4, 0), 0
    assert contexts[0][itself] == 1 and contexts[0, ring, 0] == 1 and contexts[0, ring, 3] == 1
    assert contexts[1][itself] == 1 and contexts[1, ring, 6] == 1 and contexts[1, ring, 4] == 1
    assert contexts[2][itself] == 1 and contexts[2, ring, 9] == 1 and contexts[2, ring, 10] == 1


def test_what_lies_exactly_on_the_last_ring_is_not_seen() -> None:
    """Two points: twice their mean distance apart."""
    assert (shape_contexts(np.array([[0.0, 0], [4, 0]])) == np.eye(60)[4 * 12]).all()


def test_costs_are_half_chi_square() -> None:
    first, second = (np.random.default_rng(seed).dirichlet(np.full(60, 0.1), 19) for seed in (0, 1))
    first[0] = second[0] = np.eye(60)[3]
    slow = [
        [0.5 * sum((x - y) ** 2 / (x + y) for x, y in zip(a, b, strict=True) if x + y) for b in second] for a in first
    ]
    np.testing.assert_allclose(context_costs(first, second), slow, atol=1e-12)
    assert context_costs(first, second)[0, 0] == 0


def test_the_best_pair_is_not_the_first_one_and_of_equals_the_last() -> None:
    costs = np.array([[0.0, 0.2], [0.2, 0.2], [0.9, 0.5]])
    assert best_pair(costs, np.array([[0, 0], [1, 0], [1, 1], [2, 1]])).tolist() == [1, 1]


def test_every_point_keeps_one_partner() -> None:
    costs = np.array([[0.3, 0.1, 0.9], [0.9, 0.2, 0.05]])
    path = np.array([[0, 0], [0, 1], [1, 1], [1, 2]])
    assert partner_costs(costs, path).tolist() == [0.1, 0.05]
    assert partner_costs(costs[:, :2], path[:3]).tolist() == [0.1]  # both rows want column 1
    assert partner_costs(costs, path[[2, 3, 0, 1]]).tolist() == [0.1, 0.05]


def test_of_equal_partners_a_row_keeps_the_last() -> None:
    """Row 0 keeps column 1, so that row 1, which is cheaper there, leaves it with none."""
    costs = np.array([[0.4, 0.4], [0.9, 0.3]])
    assert partner_costs(costs, np.array([[0, 0], [0, 1], [1, 1]])).tolist() == [0.3]


@pytest.mark.parametrize("seed", range(8))
def test_the_second_path_begins_behind_the_best_pair_of_the_first(seed: int) -> None:
    first, second = (np.random.default_rng(seed + n).dirichlet(np.full(60, 0.1), 9 + n) for n in (0, 2))
    costs = context_costs(first, second)
    row, column = min(cheapest_path(costs)[1:].tolist(), key=lambda pair: costs[pair[0], pair[1]])
    again = np.array([[costs[(r + row + 1) % 9, (c + column + 1) % 11] for c in range(11)] for r in range(9)])
    pairs = [((r + row + 1) % 9, (c + column + 1) % 11) for r, c in cheapest_path(again).tolist()]
    by_row = [min((costs[pair], pair) for pair in pairs if pair[0] == r) for r in range(9)]
    by_column = [min(kept for kept in by_row if kept[1][1] == c) for c in {pair[1] for _, pair in by_row}]
    assert difference(first, second) == pytest.approx(5 * np.mean([cost for cost, _ in by_column]), abs=1e-12)


def test_t_is_five_times_the_mean_of_what_is_left() -> None:
    """Two rings of contexts that differ in one pair only, wherever they begin."""
    first = np.eye(60)[[0, 1, 2, 3]]
    second = first.copy()
    second[1] = np.eye(60)[1] / 2 + np.eye(60)[7] / 2
    wrong = context_costs(first, second)[1, 1]
    assert wrong == pytest.approx(0.5 * (0.25 / 1.5 + 0.5))
    assert difference(first, second) == pytest.approx(5 * wrong / 4)
    assert difference(first, second[[0]]) == pytest.approx(0)
