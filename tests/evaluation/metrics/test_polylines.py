"""Simplified lines against the plain loops of the algorithm, with its conventions at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from univs.evaluation.metrics.pixel_outlines import pixel_loops
from univs.evaluation.metrics.polylines import drop_close, important, simplify, squared_distances

Line = list[list[float]]


def slow_distance(point: list[float], start: list[float], end: list[float]) -> float:
    way = [end[0] - start[0], end[1] - start[1]]
    reached = (point[0] - start[0]) * way[0] + (point[1] - start[1]) * way[1]
    length = way[0] * way[0] + way[1] * way[1]
    if reached <= 0:
        foot = start
    elif length <= reached:
        foot = end
    else:
        share = float(np.float32(reached) / np.float32(length))
        foot = [start[0] + share * way[0], start[1] + share * way[1]]
    return (point[0] - foot[0]) * (point[0] - foot[0]) + (point[1] - foot[1]) * (point[1] - foot[1])


def slow_drop_close(line: Line, tolerance: float) -> Line:
    kept = line[:1]
    for point in line[1:-1]:
        if not (point[0] - kept[-1][0]) ** 2 + (point[1] - kept[-1][1]) ** 2 < tolerance * tolerance:
            kept.append(point)
    return [*kept, line[-1]]


def slow_important(line: Line, tolerance: float) -> Line:
    furthest, most = 0, 0.0
    for number in range(1, len(line) - 1):
        square = slow_distance(line[number], line[0], line[-1])
        if square >= most:
            furthest, most = number, square
    if furthest == 0 or most <= tolerance * tolerance:
        return [line[0], line[-1]]
    return slow_important(line[: furthest + 1], tolerance)[:-1] + slow_important(line[furthest:], tolerance)


def slow_simplify(line: Line, tolerance: float) -> Line:
    return slow_important(slow_drop_close(line, tolerance), tolerance)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("tolerance", [0.1, 3.0])
def test_outlines_of_pixels_equal_a_slow_loop(seed: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    shape = np.kron(rng.random((9, 8)) < 0.6, np.ones(rng.integers(1, 9, 2), bool))
    for loop in pixel_loops(shape):
        line = loop.corners.astype(float)
        assert simplify(line, tolerance).tolist() == slow_simplify(line.tolist(), tolerance)


@pytest.mark.parametrize("seed", range(20))
def test_open_lines_of_any_numbers_equal_a_slow_loop(seed: int) -> None:
    line = np.cumsum(np.random.default_rng(seed).normal(0, 1, (60, 2)), 0)
    for tolerance in (0.5, 1.5, 4.0):
        assert simplify(line, tolerance).tolist() == slow_simplify(line.tolist(), tolerance)


def test_points_too_close_to_the_last_one_kept_go_but_never_the_ends() -> None:
    line = np.array([[0, 0], [2, 0], [2.9, 0], [3, 0], [5, 0], [6, 0], [7, 0]], float)
    assert drop_close(line, 3).tolist() == [[0, 0], [3, 0], [6, 0], [7, 0]]
    assert drop_close(line[:2], 3).tolist() == [[0, 0], [2, 0]]
    assert drop_close(line, 0.05).tolist() == line.tolist()


def test_what_is_exactly_as_far_as_the_tolerance_goes() -> None:
    line = np.array([[0, 0], [5, 3], [10, 0]], float)
    assert simplify(line, 3).tolist() == [[0, 0], [10, 0]]
    assert simplify(line, 2.99).tolist() == line.tolist()


def test_of_equally_far_points_the_last_stays() -> None:
    """The third point splits the line, and the second is near the part before it; else both would stay."""
    line = np.array([[0, 0], [8, 4], [16, 4], [16, 0]], float)
    assert important(line, 3.5).tolist() == [True, False, True, True]


def test_a_closed_line_is_measured_from_where_it_begins() -> None:
    square = np.array([[0, 0], [10, 0], [10, 2], [10, 10], [0, 10], [0, 0]], float)
    assert simplify(square, 3).tolist() == [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
    assert simplify(np.array([[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]], float), 3).tolist() == [[0, 0], [0, 0]]


def test_beyond_the_ends_of_a_segment_the_ends_count() -> None:
    points = np.array([[-3, 4], [5, 2], [13, 4], [3, 4]], float)
    start, end = np.zeros((4, 2)), np.array([[10, 0]] * 3 + [[0, 0]], float)
    assert squared_distances(points, start, end).tolist() == [25, 4, 25, 25]


def test_the_share_of_the_way_is_rounded_to_single_precision() -> None:
    square = squared_distances(np.array([[1.0, 0.0]]), np.zeros((1, 2)), np.array([[3.0, 0.0]]))
    assert square[0] == (1 - 3 * float(np.float32(1) / np.float32(3))) ** 2 > 0


def test_rounding_decides_between_points_that_are_equally_far() -> None:
    """All of a straight run is as far from the axis; the one whose share rounds worst is kept, not the last."""
    line = np.array([[0.0, 0.0]] + [[x, 9.0] for x in range(2, 40, 2)] + [[47.0, 0.0]])
    squares = [slow_distance(point, line[0].tolist(), line[-1].tolist()) for point in line[1:-1].tolist()]
    worst = 1 + max(range(len(squares)), key=lambda k: (squares[k], k))
    assert worst != len(line) - 2 and max(squares) > 81
    assert important(line, 8.9)[worst]
