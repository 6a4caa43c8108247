"""How much two polygons overlap, exactly: no pixels are drawn.

Polygons are P 2 arrays of x, y, simple (no side crosses another), turning either way.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.float64]
Corners = list[tuple[float, float]]


def polygon_overlap(first: Polygon, second: Polygon, size: tuple[int, int]) -> float:
    """IoU of two polygons as far as they lie in a frame of height x width pixels; 0 where neither does."""
    height, width = size
    frame: Corners = [(0.0, 0.0), (float(width), 0.0), (float(width), float(height)), (0.0, float(height))]
    shared = sum(
        sign * other_sign * abs(signed_area(clipped(clipped(one, other), frame)))
        for one, sign in triangles(first)
        for other, other_sign in triangles(second)
    )
    areas = [
        abs(sum(sign * abs(signed_area(clipped(one, frame))) for one, sign in triangles(polygon)))
        for polygon in (first, second)
    ]
    turning = np.sign(signed_area(first.tolist())) * np.sign(signed_area(second.tolist()))
    shared = max(0.0, float(turning * shared))
    united = sum(areas) - shared
    return shared / united if united > 0 else 0.0


def triangles(polygon: Polygon) -> Iterator[tuple[Corners, int]]:
    """A polygon as triangles from its first corner, those that turn the other way counting negative (each turns
    anticlockwise as it is given)."""
    corners = [(float(x), float(y)) for x, y in polygon]
    for second, third in zip(corners[1:], corners[2:], strict=False):
        triangle = [corners[0], second, third]
        turn = signed_area(triangle)
        if turn:
            yield (triangle if turn > 0 else triangle[::-1]), (1 if turn > 0 else -1)


def signed_area(corners: Corners) -> float:
    """Positive where x turns to y along the corners."""
    following = corners[1:] + corners[:1]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(corners, following, strict=True)) / 2


def clipped(corners: Corners, window: Corners) -> Corners:
    """What of a convex polygon lies in a convex window that turns as x to y (Sutherland and Hodgman, 1974)."""
    for (x0, y0), (x1, y1) in zip(window, window[1:] + window[:1], strict=True):
        sides = [(x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) for x, y in corners]
        kept: Corners = []
        for place, ((x, y), side) in enumerate(zip(corners, sides, strict=True)):
            (before_x, before_y), before = corners[place - 1], sides[place - 1]
            if side * before < 0:
                share = before / (before - side)
                kept.append((before_x + share * (x - before_x), before_y + share * (y - before_y)))
            if side >= 0:
                kept.append((x, y))
        corners = kept
        if not corners:
            break
    return corners
