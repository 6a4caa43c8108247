"""Boxes of objects in place of their masks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from univs.fields import finite
from univs.masks.meanings import IGNORE

Box = tuple[float, float, float, float]
"""x0 y0 x1 y1 in pixels of the frame; x1 and y1 lie behind the last pixel."""
FrameBoxes = Mapping[int, Box]
"""The objects of a frame by their ids, which begin at 1."""


def tight_boxes(labels: np.ndarray) -> dict[int, Box]:
    """The boxes of the objects on a label map H W uint8, ids ascending."""
    found: dict[int, Box] = {}
    for number in np.unique(labels).tolist():
        if number in (0, IGNORE):
            continue
        mask = labels == number
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        found[number] = float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1)
    return found


def box_of_corner(values: Sequence[Any]) -> Box:
    """A box of x, y, width, height. Raises ValueError for anything but four numbers, and for one without an area."""
    if len(values) != 4:
        raise ValueError(f"a box has x, y, width and height, not {len(values)} numbers")
    x, y, width, height = (finite(value) for value in values)
    if width <= 0 or height <= 0 or not math.isfinite(x + width + y + height):
        raise ValueError(f"a box of {width:g} x {height:g} pixels has no area")
    return x, y, x + width, y + height
