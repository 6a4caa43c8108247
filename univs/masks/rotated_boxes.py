"""The rotated box of a mask: the smallest rectangle around its largest part.

As SiamMask reads a box off a mask (section 3.3 of the paper, "rotated minimum bounding rectangle"). Points are x, y of
pixel centres, so that the box of a mask is one pixel less wide than what it covers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
EVERY_NEIGHBOUR = np.ones((3, 3), bool)
"""Pixels that touch at a corner hang together."""


def rotated_box(mask: NDArray[np.bool_], smallest_area: float) -> Points | None:
    """The rotated box of the part of a mask that encloses the most.

    Args:
        mask: H W.
        smallest_area: square pixels within the outline, through the centres of its pixels, that the part must exceed.
    Returns:
        4 2 corners in turn; None where no part is large enough.
    """
    from scipy.ndimage import find_objects  # only now: it takes a while

    parts, left, top = connected_parts(mask)
    if not parts.size:
        return None
    best, outline = smallest_area, None
    for number, (rows, columns) in enumerate(find_objects(parts), start=1):
        if (rows.stop - rows.start - 1) * (columns.stop - columns.start - 1) <= best:
            continue  # it cannot enclose more
        part = parts[rows, columns] == number
        area = enclosed_area(part)
        if area > best:
            best, outline = area, row_ends(part) + (left + columns.start, top + rows.start)
    return None if outline is None else smallest_rectangle(convex_hull(outline))


def connected_parts(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int, int]:
    """The parts of a mask H W that hang together, numbered from 1 in the rectangle around all, and its left and top.

    Of an empty mask 0 0.
    """
    from scipy.ndimage import label

    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return np.zeros((0, 0), np.int32), 0, 0
    left, top = int(columns[0]), int(rows[0])
    parts, _ = label(mask[top : rows[-1] + 1, left : columns[-1] + 1], EVERY_NEIGHBOUR)
    return parts, left, top


def enclosed_area(part: NDArray[np.bool_]) -> float:
    """Square pixels within the outer outline of one connected part, H W, holes among them.

    The outline runs through the centres of pixels: of four that meet at a corner, all enclose a square, three half of
    one, and fewer nothing.
    """
    from scipy.ndimage import label

    around, _ = label(~np.pad(part, 1))
    filled = around[1:-1, 1:-1] != around[0, 0]  # the outside is one piece: the frame that was just added
    wide = filled.astype(np.int8)
    corners = wide[:-1, :-1] + wide[1:, :-1] + wide[:-1, 1:] + wide[1:, 1:]
    return float((corners == 4).sum() + (corners == 3).sum() / 2)


def row_ends(part: NDArray[np.bool_]) -> Points:
    """First and last pixel of each row that has any: P 2."""
    rows = np.flatnonzero(part.any(1))
    first = part[rows].argmax(1)
    last = part.shape[1] - 1 - part[rows, ::-1].argmax(1)
    return np.concatenate([np.stack([first, rows], 1), np.stack([last, rows], 1)]).astype(np.float64)


def convex_hull(points: Points) -> Points:
    """The corners of the convex hull of P 2 points, in turn (Andrew's monotone chain)."""
    ordered = np.unique(points, axis=0)
    if len(ordered) < 3:
        return ordered

    def half(along: list[list[float]]) -> list[list[float]]:
        chain: list[list[float]] = []
        for x, y in along:
            while len(chain) > 1:
                (x0, y0), (x1, y1) = chain[-2:]
                if (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0:
                    break
                chain.pop()
            chain.append([x, y])
        return chain[:-1]

    forth: Any = ordered.tolist()
    return np.array(half(forth) + half(forth[::-1]))


def smallest_rectangle(hull: Points) -> Points:
    """The rectangle of the smallest area around a convex polygon, P 2 -> 4 2; one of its sides lies on the polygon."""
    if len(hull) == 1:
        return np.repeat(hull, 4, 0)
    sides = np.roll(hull, -1, 0) - hull
    along = sides / np.linalg.norm(sides, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    reach_along, reach_across = hull @ along.T, hull @ across.T  # points, sides
    low, high = reach_along.min(0), reach_along.max(0)
    near, far = reach_across.min(0), reach_across.max(0)
    best = int(((high - low) * (far - near)).argmin())
    corners = ((low, near), (high, near), (high, far), (low, far))
    return np.stack([u[best] * along[best] + v[best] * across[best] for u, v in corners])
