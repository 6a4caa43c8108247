"""Temporal stability T of DAVIS-2016: how much an outline changes from one frame to the next; lower is better.

Source: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016, after
Belongie et al., "Shape Matching and Object Recognition Using Shape Contexts", PAMI 2002. The outlines become polygons,
points along them are matched in order by their shape contexts, and T is 5 times the mean cost of the matches. Figures
equal those of the official tool (fperazzi/davis) to the last digit: which corners a polygon keeps, which of equally
good matches is taken, the order of sums and what is rounded to single precision are that tool's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from univs.evaluation.metrics.cheapest_path import Costs, Path, cheapest_path
from univs.evaluation.metrics.davis import BoolMask
from univs.evaluation.metrics.pixel_outlines import pixel_loops, signed_area
from univs.evaluation.metrics.polylines import simplify

STRAIGHT, TOLERANCE = 0.1, 3.0
"""By how much a polygon may miss the outline, first and second pass; in half pixels."""
SPACING = 3.0
"""Pixels between points along the polygon, at most."""
ANGLES, RADII = 12, 5
LIMITS = np.logspace(np.log10(1 / 8), np.log10(2.0), RADII)
"""Radii of a shape context, in mean distances of its points."""
SMALL = 2.2204e-16
"""Keeps the chi-square distance of two empty bins at zero."""
FACTOR = 5.0

Points = NDArray[np.float64]
"""M x 2, (x, y) in pixels of the image, corners of pixels being whole numbers."""
Contexts = NDArray[np.float64]
"""M x 60: of what each point sees, the share of each radius and angle."""


def outline_contexts(mask: BoolMask) -> Contexts:
    """The shape contexts of the points along the outline of a mask (H x W bool); none if it has no outline."""
    return shape_contexts(points_along(outline_polygon(mask)))


def difference(before: Contexts, after: Contexts) -> float:
    """T of two outlines by their shape contexts, M x 60 and N x 60; NaN if one has none."""
    if not len(before) or not len(after):
        return float("nan")
    costs = context_costs(before, after)
    # The first points are arbitrary: begin again behind the pair that fits best.
    turn = best_pair(costs, cheapest_path(costs)) + 1
    path = cheapest_path(np.roll(costs, -turn, (0, 1)))
    return float(np.mean(partner_costs(costs, (path + turn) % costs.shape))) * FACTOR


def outline_polygon(mask: BoolMask) -> Points:
    """The polygon of most corners among those of a mask's outlines (H x W bool), its first corner repeated at the end.

    None if there is no polygon of at least three corners, as for an empty mask, a few pixels or a line of them. The
    mask is on the left, seen with y upwards.
    """
    best, chosen = np.zeros((0, 2)), -1
    loops = list(enumerate(pixel_loops(mask)))
    for number, loop in sorted(loops, key=lambda item: len(item[1].corners), reverse=True):
        if 2 * (len(loop.corners) - 1) // 3 + 2 < len(best):
            break  # points are dropped until they lie 3 apart on a line with steps of 2
        line = simplify(simplify(loop.corners.astype(np.float64), STRAIGHT), TOLERANCE)
        if len(line) > 3 and (len(line), number) > (len(best), chosen):
            # Round a hole the other way: the mask stays on one side.
            best, chosen = line if (signed_area(line) > 0) != loop.hole else line[::-1], number
    return best[:, ::-1] / 2


def points_along(polygon: Points) -> Points:
    """The corners of a polygon (M x 2) and points between them, so that none are further than SPACING apart.

    Points are counted up from the corner before them in single precision.
    """
    if not len(polygon):
        return polygon
    corners = polygon.astype(np.float32)
    steps = corners[1:] - corners[:-1]
    lengths = np.sqrt(steps[:, 0] * steps[:, 0] + steps[:, 1] * steps[:, 1])
    counts = np.maximum(np.ceil(lengths / np.float32(SPACING)), 1).astype(np.int64)
    places = np.empty((len(steps), counts.max(), 2), np.float32)
    places[:, 0] = corners[:-1]
    places[:, 1:] = (steps / counts.astype(np.float32)[:, None])[:, None]
    np.add.accumulate(places, 1, out=places)
    between = places[np.arange(counts.max()) < counts[:, None]]
    return np.concatenate([between, corners[-1:]]).astype(np.float64)


def shape_contexts(points: Points) -> Contexts:
    """Where the points lie as seen from each: shares of 5 radii by 12 angles, M x 60. A point sees itself too."""
    if not len(points):
        return np.zeros((0, RADII * ANGLES))
    x, y = (points[None, :, axis] - points[:, None, axis] for axis in (0, 1))
    angle = np.arctan2(y, x) + 2 * np.pi
    angle = np.floor(np.where(angle >= 2 * np.pi, angle - 2 * np.pi, angle) / (2 * np.pi / ANGLES)).astype(np.int64)
    distance = np.sqrt(x * x + y * y)
    ring = RADII - np.searchsorted(LIMITS, distance / distance.mean(), side="right")  # 0: too far away
    bins = (np.arange(len(points))[:, None] * (RADII + 1) + ring) * ANGLES + angle
    counts = np.bincount(bins.ravel(), minlength=len(points) * (RADII + 1) * ANGLES)
    counts = counts.reshape(len(points), -1)[:, ANGLES:]
    return counts / counts.sum(1, keepdims=True)


def context_costs(first: Contexts, second: Contexts) -> Costs:
    """Half the chi-square distance of every two shape contexts, M x 60 and N x 60: M x N in 0..1."""
    costs = np.empty((len(first), len(second)))
    some = 8  # rows, so that what is computed for them stays in the cache
    total, squares = np.empty((2, some, *second.shape))
    for row in range(0, len(first), some):
        one = first[row : row + some, None]
        sums, parts = total[: len(one)], squares[: len(one)]
        np.add(one, second, out=sums)
        np.add(sums, SMALL, out=sums)
        np.subtract(one, second, out=parts)
        np.multiply(parts, parts, out=parts)
        np.divide(parts, sums, out=parts)
        np.sum(parts, 2, out=costs[row : row + some])
    return 0.5 * costs


def best_pair(costs: Costs, path: Path) -> NDArray[np.int64]:
    """The cheapest pair of a path, its first one left out; the last of equals."""
    later = path[:0:-1]
    return later[costs[later[:, 0], later[:, 1]].argmin()]


def partner_costs(costs: Costs, pairs: Path) -> NDArray[np.float64]:
    """The costs of the pairs that are left when every row, and then every column, keeps its cheapest only, by column.

    Of equals a row keeps the last, a column the one of the lowest row.
    """
    left = pairs[::-1]
    for side in (0, 1):
        best: dict[int, tuple[float, int]] = {}
        price = costs[left[:, 0], left[:, 1]].tolist()
        for number, (key, cost) in enumerate(zip(left[:, side].tolist(), price, strict=True)):
            if key not in best or cost < best[key][0]:
                best[key] = (cost, number)
        left = left[[best[key][1] for key in sorted(best)]]
    return costs[left[:, 0], left[:, 1]]
