"""Loops between the pixels: where they begin, which way they go, and how they part where pixels touch at a corner."""

from __future__ import annotations

import numpy as np
import pytest

from univs.evaluation.metrics.pixel_outlines import PixelLoop, pixel_loops, signed_area

AHEAD = ((1, 0), (-1, 0), (0, 1), (0, -1))
"""Down, up, right, left."""


def mask(*rows: str) -> np.ndarray:
    return np.array([[character == "#" for character in row] for row in rows])


def lines(loops: list[PixelLoop]) -> list[list[tuple[int, ...]]]:
    return [[tuple(corner) for corner in loop.corners.tolist()] for loop in loops]


def random_mask(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random(rng.integers(1, 16, 2)) < rng.choice([0.1, 0.3, 0.5, 0.7, 0.9])


def pixel_edges(shape: np.ndarray) -> set[tuple[int, int]]:
    """Middles of all edges in doubled coordinates, pixel by pixel."""
    padded = np.pad(shape, 1)
    found = set()
    for row in range(shape.shape[0] + 1):
        for column in range(shape.shape[1] + 1):
            here = padded[row + 1, column + 1]
            if here != padded[row + 1, column]:
                found.add((2 * row + 1, 2 * column))
            if here != padded[row, column + 1]:
                found.add((2 * row, 2 * column + 1))
    return found


def slow_loops(shape: np.ndarray) -> list[list[tuple[int, int]]]:
    """Loops of a mask without junctions, edge by edge, in the order in which they are found."""
    left = pixel_edges(shape)
    loops = []
    for edge in sorted(edge for edge in left if edge[0] % 2):
        if edge in left:
            loop = [(edge[0] - 1, edge[1])]
            while True:
                row, column = loop[-1]
                ways = [way for way in AHEAD if (row + way[0], column + way[1]) in left]
                if not ways:
                    break
                left.remove((row + ways[0][0], column + ways[0][1]))
                loop.append((row + 2 * ways[0][0], column + 2 * ways[0][1]))
            loops.append(loop)
    return loops


def test_an_outline_goes_down_first_and_a_hole_too() -> None:
    assert lines(pixel_loops(mask("....", ".##.", "...."))) == [
        [(2, 2), (4, 2), (4, 4), (4, 6), (2, 6), (2, 4), (2, 2)]
    ]
    hole, outline = pixel_loops(mask("###", "#.#", "###"))
    assert (hole.hole, outline.hole) == (True, False)
    assert lines([hole]) == [[(2, 2), (4, 2), (4, 4), (2, 4), (2, 2)]]
    assert lines([outline])[0][:4] == [(0, 0), (2, 0), (4, 0), (6, 0)]


def test_the_first_vertical_edge_is_where_an_outline_begins() -> None:
    (loop,) = pixel_loops(mask("..#.", "####", "..#."))
    assert lines([loop])[0][:4] == [(0, 4), (2, 4), (2, 2), (2, 0)]


def test_loops_without_junctions_are_handed_out_last_one_first() -> None:
    below, right, upper = pixel_loops(mask("#..#", "....", "#..."))
    assert [tuple(loop.corners[0]) for loop in (below, right, upper)] == [(4, 0), (0, 6), (0, 0)]


def test_no_mask_no_loop() -> None:
    assert pixel_loops(np.zeros((4, 5), bool)) == []
    assert len(pixel_loops(np.ones((4, 5), bool))[0].corners) == 2 * (4 + 5) + 1


def test_pixels_that_touch_at_a_corner_are_two_loops_that_begin_there() -> None:
    """From the junction the edge up comes first: round the upper pixel; the edge down is the first of what is left."""
    assert lines(pixel_loops(mask("#.", ".#"))) == [
        [(2, 2), (0, 2), (0, 0), (2, 0), (2, 2)],
        [(2, 2), (4, 2), (4, 4), (2, 4), (2, 2)],
    ]
    assert lines(pixel_loops(mask(".#", "#."))) == [
        [(2, 2), (0, 2), (0, 4), (2, 4), (2, 2)],
        [(2, 2), (2, 0), (4, 0), (4, 2), (2, 2)],
    ]


def test_the_last_junction_comes_first_and_loops_without_one_before_all() -> None:
    loops = pixel_loops(mask("#....", ".#...", "..#.#"))
    assert [tuple(loop.corners[0]) for loop in loops] == [(4, 8), (4, 4), (4, 4), (2, 2)]
    assert [len(loop.corners) for loop in loops] == [5, 5, 5, 5]


def test_a_piece_that_returns_to_its_junction_counts_by_the_edge_where_it_begins() -> None:
    """Two diagonals that cross: the piece round the lowest pixel does; the middle's loop begins there."""
    middle, lowest, right, left = lines(pixel_loops(mask("#.#", ".#.", "..#")))
    assert middle == [(4, 4), (2, 4), (2, 2), (4, 2), (4, 4)]
    assert [lowest[:2], right[:2], left[:2]] == [[(4, 4), (6, 4)], [(2, 4), (0, 4)], [(2, 2), (0, 2)]]


def test_a_hole_that_touches_the_outline_is_a_loop_of_its_own() -> None:
    loops = pixel_loops(mask("##.", "#.#", "###"))
    assert sorted((loop.hole, len(loop.corners)) for loop in loops) == [(False, 13), (True, 5)]


@pytest.mark.parametrize("seed", range(40))
def test_loops_without_junctions_equal_a_slow_walk(seed: int) -> None:
    rng = np.random.default_rng(seed)
    while True:
        shape = rng.random((5, 6)) < 0.5
        corners = np.stack([shape[:-1, :-1], ~shape[:-1, 1:], ~shape[1:, :-1], shape[1:, 1:]])
        if not (corners.all(0) | (~corners).all(0)).any():
            break
    shape = np.kron(shape, np.ones((2, 3), bool))
    assert lines(pixel_loops(shape))[::-1] == slow_loops(shape)


@pytest.mark.parametrize("seed", range(60))
def test_loops_are_simple_and_together_all_edges(seed: int) -> None:
    shape = random_mask(seed)
    loops = pixel_loops(shape)
    walked = []
    for loop, line in zip(loops, lines(loops), strict=True):
        assert line[0] == line[-1] and len(set(line)) == len(line) - 1
        steps = np.abs(np.diff(loop.corners, axis=0))
        assert (steps.sum(1) == 2).all() and (steps.max(1) == 2).all()
        walked += [((a[0] + b[0]) // 2, (a[1] + b[1]) // 2) for a, b in zip(line, line[1:], strict=False)]
    assert len(walked) == len(set(walked)) and set(walked) == pixel_edges(shape)
    assert sum(abs(signed_area(loop.corners)) * (-1 if loop.hole else 1) for loop in loops) == 8 * shape.sum()


@pytest.mark.parametrize("seed", range(30))
def test_a_hole_lies_in_an_odd_number_of_other_loops(seed: int) -> None:
    loops = pixel_loops(random_mask(seed))
    for loop in loops:
        row, column = (loop.corners[0] + loop.corners[1]) / 2 + (0.5, 0)  # beside corners, and in no other loop's line
        around = 0
        for other in loops:
            if other is not loop:
                begin, end = other.corners[:-1], other.corners[1:]
                upright = (begin[:, 1] == end[:, 1]) & (begin[:, 1] > column)
                around += int((upright & ((begin[:, 0] < row) != (end[:, 0] < row))).sum())
        assert loop.hole == bool(around % 2)


def test_the_area_has_a_sign() -> None:
    square = np.array([[0, 0], [4, 0], [4, 6], [0, 6], [0, 0]])  # down, right, up, left
    assert signed_area(square) == -48 and signed_area(square[::-1]) == 48
