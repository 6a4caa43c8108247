"""Temporal stability T of DAVIS-2016: how much an outline changes from one frame to the next; lower is better.

Source: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016, after
Belongie et al., "Shape Matching and Object Recognition Using Shape Contexts", PAMI 2002. The outlines become polygons,
points along them are matched in order by their shape contexts, and T is 5 times the mean cost of the matches. A mask
that only moves costs nothing. Polygons may differ a little from those of the official tool, and T with them.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from univs.evaluation.davis import BoolMask

TOLERANCE = 3.0
"""Pixels by which a polygon may miss the outline."""
SPACING = 3.0
"""Pixels between points along the polygon, at most."""
ANGLES, RADII = 12, 5
INNER, OUTER = 1 / 8, 2.0
"""Smallest and largest radius of a shape context, in mean distances of its points."""
FACTOR = 5.0

Points = NDArray[np.float64]
"""M x 2, (x, y) in pixels of the image, corners of pixels being whole numbers."""
Contexts = NDArray[np.float64]
"""M x 60: of what each point sees, the share of each angle and radius."""


def instability(before: BoolMask, after: BoolMask) -> float:
    """T of two masks that follow each other (H x W bool); NaN if one of them is empty."""
    return difference(outline_contexts(before), outline_contexts(after))


def outline_contexts(mask: BoolMask) -> Contexts:
    """The shape contexts of the points along the outline of a mask (H x W bool); none if it is empty."""
    return shape_contexts(outline_points(mask))


def difference(before: Contexts, after: Contexts) -> float:
    """T of two outlines by their shape contexts, M x 60 and N x 60; NaN if one has none."""
    if not len(before) or not len(after):
        return float("nan")
    costs = context_costs(before, after)
    path = cheapest_path(costs)
    # The first points are arbitrary: begin again behind the pair that fits best.
    rows, columns = path[costs[path[:, 0], path[:, 1]].argmin()] + 1
    costs = np.roll(costs, (-rows, -columns), (0, 1))
    return FACTOR * float(np.mean(partner_costs(costs, cheapest_path(costs))))


def outline_points(mask: BoolMask) -> Points:
    """Points at most SPACING apart along the polygon of a mask's longest outline (H x W bool); none if it is empty.

    They count from the upper left of the polygon.
    """
    polygons = [simplify(contour) for contour in trace_contours(mask)]
    if not polygons:
        return np.zeros((0, 2))
    polygon = max(polygons, key=len)
    polygon = polygon - polygon.min(0)  # so that no rounding depends on the place
    steps = np.roll(polygon, -1, 0) - polygon
    counts = np.maximum(np.ceil(np.hypot(*steps.T) / SPACING), 1).astype(int)
    shares = np.concatenate([np.arange(count) / count for count in counts])
    return np.repeat(polygon, counts, 0) + shares[:, None] * np.repeat(steps, counts, 0)


def trace_contours(mask: BoolMask) -> list[Points]:
    """The closed lines between the inside and the outside of a mask (H x W bool), by the corners where they turn.

    Each begins at its uppermost corner, the leftmost of these. Pixels that touch at a corner alone are apart.
    """
    padded = np.pad(mask, 1)
    onward: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for y, x in np.argwhere(padded[1:] != padded[:-1]).tolist():
        ends = ((x - 1, y), (x, y))
        start, end = ends if padded[y + 1, x] else ends[::-1]
        onward[start].append(end)
    for y, x in np.argwhere(padded[:, 1:] != padded[:, :-1]).tolist():
        ends = ((x, y), (x, y - 1))
        start, end = ends if padded[y, x + 1] else ends[::-1]
        onward[start].append(end)
    contours = []
    for start in sorted(onward, key=lambda corner: (corner[1], corner[0])):
        while onward[start]:
            line: list[tuple[int, int]] = []
            step, here = (0, 0), start
            while not line or here != start:
                # Where two pixels touch at a corner, the line turns right, round the pixel it came along.
                there = max(onward[here], key=lambda end: step[0] * (end[1] - here[1]) - step[1] * (end[0] - here[0]))
                onward[here].remove(there)
                if (there[0] - here[0], there[1] - here[1]) != step:
                    line.append(here)
                step, here = (there[0] - here[0], there[1] - here[1]), there
            contours.append(np.array(line, np.float64))
    return contours


def simplify(polygon: Points, tolerance: float = TOLERANCE) -> Points:
    """A closed polygon (M x 2) without the points that the rest comes close enough to (Douglas and Peucker)."""
    closed = np.concatenate([polygon, polygon[:1]])
    keep = np.zeros(len(closed), bool)
    keep[0] = True
    pieces = [(0, len(polygon))]
    while pieces:
        first, last = pieces.pop()
        if last - first < 2:
            continue
        start, step = closed[first], closed[last] - closed[first]
        offsets = closed[first + 1 : last] - start
        along = np.clip(offsets @ step / max(float(step @ step), 1e-12), 0, 1)
        distances = np.hypot(*(offsets - along[:, None] * step).T)
        if distances.max() > tolerance:
            furthest = first + 1 + int(distances.argmax())
            keep[furthest] = True
            pieces += [(first, furthest), (furthest, last)]
    return polygon[keep[:-1]]


def shape_contexts(points: Points) -> Contexts:
    """Where the other points lie as seen from each: shares of 12 angles by 5 radii, M x 60."""
    if not len(points):
        return np.zeros((0, ANGLES * RADII))
    steps = points[None] - points[:, None]
    distances = np.hypot(steps[..., 0], steps[..., 1])
    limits = np.geomspace(INNER, OUTER, RADII) * max(float(distances.mean()), 1e-12)
    angle = np.minimum(np.arctan2(steps[..., 1], steps[..., 0]) % (2 * np.pi) * (ANGLES / (2 * np.pi)), ANGLES - 1)
    ring = np.searchsorted(limits, distances, side="right")
    seen = ring < RADII
    row, _ = np.nonzero(seen)
    bins = row * (ANGLES * RADII) + angle[seen].astype(int) * RADII + ring[seen]
    counts = np.bincount(bins, minlength=len(points) * ANGLES * RADII).reshape(len(points), -1)
    return counts / counts.sum(1, keepdims=True)


def context_costs(first: Contexts, second: Contexts) -> NDArray[np.float64]:
    """Half the chi-square distance of every two shape contexts, M x 60 and N x 60: M x N in 0..1."""
    costs, total, squares = np.zeros((3, len(first), len(second)))
    for one, other in zip(first.T[..., None], second.T[:, None], strict=True):
        np.add(one, other + 1e-300, out=total)  # a bin that is empty in both costs nothing
        np.subtract(one, other, out=squares)
        np.multiply(squares, squares, out=squares)
        np.divide(squares, total, out=squares)
        costs += squares
    return costs / 2


def cheapest_path(costs: NDArray[np.float64]) -> NDArray[np.intp]:
    """The pairs (row, column) from the first of both to the last of both, neither ever going back, of the least cost.

    A path pays for every pair it enters, not for its first one.
    """
    rows, columns = costs.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[1, 1:] = np.cumsum(costs[0]) - costs[0, 0]
    for row in range(1, rows):
        # Entering column k from above and going right to j costs above[k] plus the sum over k..j.
        above = np.minimum(total[row, 1:], total[row, :-1])
        sums = np.cumsum(costs[row])
        total[row + 1, 1:] = sums + np.minimum.accumulate(above - (sums - costs[row]))
    path = [(rows, columns)]
    while path[-1] != (1, 1):
        row, column = path[-1]
        before = ((row - 1, column - 1), (row - 1, column), (row, column - 1))
        path.append(min(before, key=lambda place: total[place]))
    return np.array(path[::-1]) - 1


def partner_costs(costs: NDArray[np.float64], path: NDArray[np.intp]) -> list[float]:
    """The costs of the pairs of a path that are left when every row, and then every column, keeps its cheapest only."""
    left = [(int(row), int(column)) for row, column in path]
    for side in (0, 1):
        best: dict[int, tuple[int, int]] = {}
        for pair in left:
            if pair[side] not in best or costs[pair] < costs[best[pair[side]]]:
                best[pair[side]] = pair
        left = list(best.values())
    return [float(costs[pair]) for pair in left]
