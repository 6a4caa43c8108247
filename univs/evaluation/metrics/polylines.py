"""Lines of fewer points: Douglas and Peucker's algorithm with the conventions of the official DAVIS-2016 tool.

Source: Douglas and Peucker, "Algorithms for the Reduction of the Number of Points Required to Represent a Digitized
Line", Cartographica 1973. The tool's library (psimpl) first drops points that lie close together, takes the last of
equally far points, and rounds one quotient to single precision, which decides between points that are equally far.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""M x 2, any unit; the ends of a closed line coincide."""


def simplify(line: Points, tolerance: float) -> Points:
    """The points of a line (M x 2) that are left: first those not too close together, of these the ones that matter."""
    line = drop_close(line, tolerance)
    return line[important(line, tolerance)]


def drop_close(line: Points, tolerance: float) -> Points:
    """A line (M x 2) without the points nearer than the tolerance to the last one kept; the ends stay."""
    steps = line[1:] - line[:-1]
    if len(line) < 3 or (steps * steps).sum(1).min() >= tolerance * tolerance:
        return line
    limit, kept = tolerance * tolerance, [0]
    places = line.tolist()
    x, y = places[0]
    for number in range(1, len(places) - 1):
        along, across = places[number][0] - x, places[number][1] - y
        if along * along + across * across >= limit:
            kept.append(number)
            x, y = places[number]
    return line[[*kept, len(line) - 1]]


def important(line: Points, tolerance: float) -> NDArray[np.bool_]:
    """Which points of a line (M x 2) stay: the ends, and between two that stay the furthest, if beyond the tolerance.

    All pieces between points that stay are looked at side by side; what stays does not depend on their order.
    """
    keep = np.zeros(len(line), bool)
    keep[[0, -1]] = True
    first, last = np.array([0]), np.array([len(line) - 1])
    while True:
        first, last = first[last - first > 1], last[last - first > 1]
        if len(first) == 0:
            return keep
        counts = last - first - 1
        begins = np.cumsum(counts) - counts
        piece = np.repeat(np.arange(len(first)), counts)
        inner = np.arange(len(piece)) + (first + 1 - begins)[piece]
        squares = squared_distances(line[inner], line[first][piece], line[last][piece])
        most = np.maximum.reduceat(squares, begins)
        candidates = np.flatnonzero(squares == most[piece])
        furthest = np.empty(len(first), np.int64)
        furthest[piece[candidates]] = inner[candidates]  # the last of equals stays
        split = most > tolerance * tolerance
        first, furthest, last = first[split], furthest[split], last[split]
        keep[furthest] = True
        first, last = np.concatenate([first, furthest]), np.concatenate([furthest, last])


def squared_distances(points: Points, start: Points, end: Points) -> NDArray[np.float64]:
    """From each point to the segment with the same number, all M x 2.

    The foot of the perpendicular is the start plus a share of the way to the end, in single precision.
    """
    way, offset = end - start, points - start
    reached = offset[:, 0] * way[:, 0] + offset[:, 1] * way[:, 1]
    length = way[:, 0] * way[:, 0] + way[:, 1] * way[:, 1]
    share = reached.astype(np.float32) / np.where(length == 0, 1, length).astype(np.float32)
    foot = start + share.astype(np.float64)[:, None] * way
    foot = np.where((reached <= 0)[:, None], start, np.where((length <= reached)[:, None], end, foot))
    miss = points - foot
    return miss[:, 0] * miss[:, 0] + miss[:, 1] * miss[:, 1]
