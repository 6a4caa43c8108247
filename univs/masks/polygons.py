"""Masks given as polygons x, y, x, y, …: checked, then filled as COCO's tools do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as rle_tools

MARGIN = 1.0
"""How far a polygon may reach outside its frame, in widths and heights of the frame."""


def fill_polygons(polygons: Sequence[Any], size: tuple[int, int]) -> dict[str, Any] | None:
    """The RLE of all that lies in any of the polygons; None where none of them has three points.

    Args:
        polygons: each a list (or array) of x, y, x, y, … in pixels.
        size: height and width of the frame.
    Raises ValueError, saying why, for what is no such list: coordinates that are no finite numbers, an odd number of
    them, and polygons that reach out of the frame by more than its own width or height.
    """
    kept = [points.tolist() for polygon in polygons if len(points := _points(polygon, size)) >= 6]
    return rle_tools.merge(rle_tools.frPyObjects(kept, *size)) if kept else None


def _points(polygon: Any, size: tuple[int, int]) -> np.ndarray:
    """The coordinates of a polygon, checked."""
    try:
        points = np.asarray(polygon)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError("a polygon is no list of numbers x, y, x, y, …") from error
    if points.ndim != 1 or (len(points) and points.dtype.kind not in "iuf") or bool in set(map(type, polygon)):
        raise ValueError("a polygon is no list of numbers x, y, x, y, …")
    if len(points) % 2:
        raise ValueError(f"a polygon has {len(points)} coordinates; expected an even number, x, y, x, y, …")
    points = points.astype(np.float64)
    if not np.isfinite(points).all():
        raise ValueError("a polygon holds a coordinate that is no finite number (NaN, Infinity)")
    extent = np.array([size[1], size[0]], np.float64)
    pairs = points.reshape(-1, 2)
    outside = ((pairs < -MARGIN * extent) | (pairs > (1 + MARGIN) * extent)).any(1)
    if outside.any():
        x, y = pairs[outside.argmax()].tolist()
        raise ValueError(
            f"a polygon reaches {x:g}, {y:g} (x, y), far outside the frame of {size[1]} x {size[0]} (width x height)"
        )
    return points
