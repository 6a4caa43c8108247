"""The cheapest path against plain recursion, and which of equally cheap ones is taken."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from univs.evaluation.metrics.cheapest_path import cheapest_path, first_way_to, least_totals


def some_costs(seed: int, values: int = 0) -> np.ndarray:
    """Random costs; of few values, so that many paths cost the same, if `values` says of how many."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 12, 2)
    return rng.integers(0, values, size) / 4 if values else rng.random(size)


def slow_totals(costs: np.ndarray) -> np.ndarray:
    @cache
    def least(row: int, column: int) -> float:
        if row == column == 0:
            return 0.0
        before = [(row - 1, column - 1), (row - 1, column), (row, column - 1)]
        return min(least(*place) for place in before if min(place) >= 0) + float(costs[row, column])

    return np.array([[least(row, column) for column in range(costs.shape[1])] for row in range(costs.shape[0])])


@pytest.mark.parametrize("seed", range(20))
def test_totals_equal_plain_recursion_to_the_last_digit(seed: int) -> None:
    costs = some_costs(seed)
    totals = least_totals(costs)
    assert (totals[1:, 1:] == slow_totals(costs)).all()
    assert np.isinf(totals[0]).all() and np.isinf(totals[:, 0]).all()


@pytest.mark.parametrize("seed", range(60))
def test_the_path_is_the_cheapest_and_never_goes_back(seed: int) -> None:
    costs = some_costs(seed, seed % 3 * 2)
    path = cheapest_path(costs)
    assert path[0].tolist() == [0, 0] and path[-1].tolist() == [size - 1 for size in costs.shape]
    assert {tuple(step) for step in np.diff(path, axis=0).tolist()} <= {(0, 1), (1, 0), (1, 1)}
    paid = costs[path[1:, 0], path[1:, 1]].sum()
    assert paid == pytest.approx(slow_totals(costs)[-1, -1], abs=1e-12)


@pytest.mark.parametrize("seed", range(60))
def test_a_tie_is_decided_as_by_the_heap_alone(seed: int) -> None:
    costs = some_costs(seed, seed % 4 * 2)
    goal = (costs.shape[0] - 1, costs.shape[1] - 1)
    assert cheapest_path(costs).tolist() == first_way_to(costs, goal).tolist()


def test_a_way_need_not_go_to_the_end() -> None:
    costs = np.array([[0, 9, 9], [9, 1, 9], [0, 9, 9]], float)
    assert first_way_to(costs, (2, 0)).tolist() == [[0, 0], [1, 0], [2, 0]]
    assert first_way_to(costs, (0, 0)).tolist() == [[0, 0]]


def test_where_all_costs_nothing_the_heap_decides() -> None:
    """By hand: 0 reaches 1, 3 and 4 of nine pairs; 4 lies on top when 1 has left, so 8 is reached from 4.

    In two rows of three, 1 leaves first and takes 5 along, before 4 could.
    """
    assert cheapest_path(np.zeros((3, 3))).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert cheapest_path(np.zeros((2, 3))).tolist() == [[0, 0], [0, 1], [1, 2]]


def slow_first_way(costs: np.ndarray) -> list[list[int]]:
    """Dijkstra's algorithm with a heap of four children, swap by swap, on pairs."""
    total, before = {(0, 0): 0.0}, dict[tuple[int, int], tuple[int, int]]()
    heap = [(0, 0)]
    while heap:
        here = heap[0]
        heap[0] = heap[-1]
        heap.pop()
        at = 0
        while True:
            best = at
            for child in range(4 * at + 1, min(4 * at + 5, len(heap))):
                if total[heap[child]] < total[heap[best]]:
                    best = child
            if best == at:
                break
            heap[at], heap[best] = heap[best], heap[at]
            at = best
        for down, right in ((0, 1), (1, 0), (1, 1)):
            there = (here[0] + down, here[1] + right)
            if there[0] < costs.shape[0] and there[1] < costs.shape[1]:
                reached = total[here] + float(costs[there])
                if there not in total:
                    heap.append(there)
                elif reached >= total[there]:
                    continue
                total[there], before[there] = reached, here
                at = heap.index(there)
                while at and total[heap[at]] < total[heap[(at - 1) // 4]]:
                    heap[at], heap[(at - 1) // 4] = heap[(at - 1) // 4], heap[at]
                    at = (at - 1) // 4
    path = [(costs.shape[0] - 1, costs.shape[1] - 1)]
    while path[-1] != (0, 0):
        path.append(before[path[-1]])
    return [list(pair) for pair in path[::-1]]


@pytest.mark.parametrize("seed", range(60))
def test_ties_are_decided_as_swap_by_swap(seed: int) -> None:
    costs = some_costs(seed, 1 + seed % 3 * 2)
    assert cheapest_path(costs).tolist() == slow_first_way(costs)
