"""The cheapest way through a matrix of costs that goes back in neither direction (dynamic time warping).

Of equally cheap ways there is one that the official DAVIS-2016 tool takes: that of Dijkstra's algorithm with a heap of
four children to a node (Boost's). T depends on it now and then, so a tie is decided by running just that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Costs = NDArray[np.float64]
"""M x N, none below zero."""
Path = NDArray[np.int64]
"""L x 2 (row, column), from the first of both to the last of both."""


def cheapest_path(costs: Costs) -> Path:
    """The pairs along the cheapest path; it pays for every pair that it enters, not for its first one."""
    totals = least_totals(costs)
    width, total = totals.shape[1], totals.ravel()
    here, way = len(total) - 1, []
    while here != width + 1:
        way.append(here)
        before = (here - width - 1, here - width, here - 1)
        sums = [total.item(place) for place in before]
        least = min(sums)
        if sums.count(least) > 1:
            row, column = divmod(here, width)
            start = first_way_to(costs, (row - 1, column - 1))[:-1]
            break
        here = before[sums.index(least)]
    else:
        start = np.zeros((1, 2), np.int64)
    return np.concatenate([start, np.stack(np.divmod(np.array(way[::-1], np.int64), width), 1) - 1])


def least_totals(costs: Costs) -> Costs:
    """What the cheapest path to every pair costs, (M + 1) x (N + 1): a row and a column of infinity stand before it."""
    rows, columns = costs.shape
    width = columns + 1
    total, entered = np.full((2, (rows + 1) * width), np.inf)
    entered.reshape(rows + 1, width)[1:, 1:] = costs
    total[width + 1] = 0
    least = np.empty(rows)
    for diagonal in range(3, rows + columns + 1):  # the pairs of one diagonal do not depend on each other
        low, high = max(1, diagonal - columns), min(rows, diagonal - 1)
        begin, end = diagonal + low * columns, diagonal + high * columns + 1
        inner = least[: high - low + 1]
        np.minimum(total[begin - 1 : end - 1 : columns], total[begin - width : end - width : columns], out=inner)
        np.minimum(inner, total[begin - width - 1 : end - width - 1 : columns], out=inner)
        np.add(inner, entered[begin:end:columns], out=total[begin:end:columns])
    return total.reshape(rows + 1, width)


def first_way_to(costs: Costs, goal: tuple[int, int]) -> Path:
    """The path to a pair (row, column) by which Dijkstra's algorithm first reaches it at its least cost; for ties.

    The order in which pairs that cost the same leave the heap is all that matters, and it depends on every swap: the
    heap moves a pair only past one that costs strictly more, and edges are looked at right, down, both.
    """
    columns, last, end = costs.shape[1], costs.size - 1, goal[0] * costs.shape[1] + goal[1]
    price = costs.ravel().tolist()
    total, before = [float("inf")] * costs.size, [0] * costs.size
    total[0], heap = 0.0, _Heap(costs.size)
    heap.put(0, 0.0)
    while (here := heap.take()) != end:
        right, down = (here + 1) % columns != 0, here + columns <= last
        for there in ((here + 1,) * right) + ((here + columns,) * down) + ((here + columns + 1,) * (right and down)):
            reached = total[here] + price[there]
            if reached < total[there]:
                total[there], before[there] = reached, here
                heap.put(there, reached)
    path = [end]
    while path[-1]:
        path.append(before[path[-1]])
    return np.stack(np.divmod(np.array(path[::-1]), columns), 1)


class _Heap:
    """Numbers below a limit, each with a cost; every node has four children, none of which costs less."""

    def __init__(self, limit: int) -> None:
        self._items: list[int] = []
        self._costs: list[float] = []
        self._places = [-1] * limit  # -1: not there yet

    def put(self, item: int, cost: float) -> None:
        """Adds an item, or lowers the cost of one that is there: it moves up, past those that cost more."""
        items, costs, places = self._items, self._costs, self._places
        at = places[item]
        if at < 0:
            at = len(items)
            items.append(item)
            costs.append(cost)
        while at:
            parent = (at - 1) // 4
            if cost >= costs[parent]:
                break
            items[at], costs[at] = items[parent], costs[parent]
            places[items[at]] = at
            at = parent
        items[at], costs[at], places[item] = item, cost, at

    def take(self) -> int:
        """Removes the top; the last item takes its place and moves down, past the first cheapest of each four."""
        items, costs, places = self._items, self._costs, self._places
        top, item, cost = items[0], items.pop(), costs.pop()
        if items:
            at = 0
            while children := costs[4 * at + 1 : 4 * at + 5]:
                least = min(children)
                if least >= cost:
                    break
                child = 4 * at + 1 + children.index(least)
                items[at], costs[at] = items[child], least
                places[items[at]] = at
                at = child
            items[at], costs[at], places[item] = item, cost, at
        return top
