"""Square crops around an object, as SiamMask looks at them, and what sizes they have.

Places are pixels of the frame, x first; the position of an object is the centre of its box. Shapes: H W of the frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TEMPLATE, SEARCH = 127, 255
"""Sides of the crops that the networks see."""
FIXED_POINT = 2048
"""Weights of the 8 bit bilinear interpolation are multiples of one part of so many."""

Pixels = NDArray[np.uint8]
Places = NDArray[np.intp]


def context_side(width: float, height: float) -> float:
    """Side of the square that holds an object with its surroundings (SiamFC, section 3.2)."""
    margin = (width + height) / 2
    return math.sqrt((width + margin) * (height + margin))


def search_side(side: float, template: int = TEMPLATE, search: int = SEARCH) -> float:
    """Side of the square to be searched, where the template was a square of `side`."""
    return side + (search - template) * side / template


def channel_mean(frame: Pixels) -> Pixels:
    """H W 3 -> 3, the mean of each channel without its fraction: what lies outside of a frame."""
    return frame.mean((0, 1)).astype(np.uint8)


def corner(position: Sequence[float], side: int, *, half_up: bool = False) -> tuple[int, int]:
    """The first pixel (x, y) of a square around a position.

    half_up: round halves up (PySOT), not to the even number (the official program).
    """
    places = [place - (side + 1) / 2 for place in position]
    x, y = (math.floor(place + 0.5) if half_up else round(place) for place in places)
    return x, y


def square(
    frame: Pixels, position: Sequence[float], side: int, out: int, outside: Pixels, *, half_up: bool = False
) -> Pixels:
    """The square of `side` pixels around a position, resized.

    Args:
        frame: H W C.
        out: side of the result; bilinear, 8 bit.
        outside: C, what pixels that are not in the frame have.
        half_up: as in `corner`.
    Returns:
        out out C.
    """
    x0, y0 = corner(position, side, half_up=half_up)
    if side in (out, 2 * out):
        every = np.arange(side)
        return resized(_fetched(frame, y0 + every, x0 + every, outside), out, out)
    taps = _taps(side, out)
    return _blended(_fetched(frame, y0 + taps.read, x0 + taps.read, outside), taps, taps)


def _fetched(frame: Pixels, rows: Places, columns: Places, outside: Pixels) -> Pixels:
    """Pixels of a frame in ascending rows and columns, some of which may lie outside of it.

    A square around a large object is many times the frame; but few of its pixels are needed.
    """
    part = np.empty((len(rows), len(columns), frame.shape[2]), np.uint8)
    top, bottom = np.searchsorted(rows, (0, frame.shape[0]))
    left, right = np.searchsorted(columns, (0, frame.shape[1]))
    if (bottom - top, right - left) != part.shape[:2]:
        part.reshape(len(rows), -1)[:] = np.tile(outside, len(columns))  # row by row, which is quicker
    part[top:bottom, left:right] = frame[_span(rows[top:bottom])][:, _span(columns[left:right])]
    return part


def _span(places: Places) -> Places | slice:
    """Places as a slice, which is quicker, where none between them is left out."""
    if len(places) and places[-1] - places[0] + 1 == len(places):
        return slice(int(places[0]), int(places[-1]) + 1)
    return places


def label_square(labels: Pixels, position: Sequence[float], side: int, out: int) -> Pixels:
    """The same square of a label map H W, each pixel as it is: out out, 0 outside of the frame."""
    places = np.floor((np.arange(out) + 0.5) * side / out).astype(np.intp)
    x0, y0 = corner(position, side)
    columns, rows = x0 + places, y0 + places
    height, width = labels.shape
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    found = labels[np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))]
    return np.where(inside, found, 0).astype(labels.dtype)


def resized(image: Pixels, height: int, width: int) -> Pixels:
    """H W C -> height width C, bilinear with cells as squares, in the fixed-point arithmetic of OpenCV.

    An image that is exactly twice as large is averaged.
    """
    if image.shape[:2] == (height, width):
        return image
    if image.shape[:2] == (2 * height, 2 * width):
        doubled = image.astype(np.uint16)
        pairs = doubled[0::2] + doubled[1::2]
        return ((pairs[:, 0::2] + pairs[:, 1::2] + 2) >> 2).astype(np.uint8)
    across, down = _taps(image.shape[1], width), _taps(image.shape[0], height)
    return _blended(image[_span(down.read)][:, _span(across.read)], down, across)


@dataclass(frozen=True)
class _Taps:
    """Along one side: the cells that are read, ascending; of each cell of the result the two that it lies between, as
    places among those, and the weight of the second."""

    read: Places
    first: Places
    second: Places
    weight: NDArray[np.int32]


def _taps(size: int, out: int) -> _Taps:
    places = ((np.arange(out) + 0.5) * (size / out) - 0.5).clip(0, size - 1)
    first = np.floor(places).astype(np.intp)
    weight = np.rint((places - first) * FIXED_POINT).astype(np.int32)
    read, order = np.unique(np.concatenate([first, np.minimum(first + 1, size - 1)]), return_inverse=True)
    return _Taps(read, order[:out], order[out:], weight)


def _blended(image: Pixels, down: _Taps, across: _Taps) -> Pixels:
    """The cells that are read, weighted: first along, then down, as OpenCV rounds."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.int32)
    along, following = planes.take(across.first, 2), planes.take(across.second, 2)
    following -= along
    following *= across.weight
    along *= FIXED_POINT
    along += following
    along >>= 4
    upper, lower = along.take(down.first, 1), along.take(down.second, 1)
    upper *= FIXED_POINT - down.weight[:, None]
    lower *= down.weight[:, None]
    upper >>= 16
    lower >>= 16
    upper += lower
    upper += 2
    upper >>= 2
    return np.ascontiguousarray(upper.astype(np.uint8).transpose(1, 2, 0))


def axis_aligned(polygon: Sequence[float]) -> tuple[float, float, float, float]:
    """An upright box as large as a quadrilateral, centre x, y, width, height.

    Args:
        polygon: x, y of the four corners in turn.
    Its centre is the mean of the corners; its shape that of the box around them, its area that of the product of two
    sides (VOT's rotated boxes are rectangles).
    """
    points = np.asarray(polygon, np.float64).reshape(4, 2)
    low, high = points.min(0), points.max(0)
    first, second = (float(np.linalg.norm(points[i] - points[i + 1])) for i in (0, 1))
    extent = high - low
    share = math.sqrt(first * second / float(extent[0] * extent[1]))
    width, height = (share * extent + 1).tolist()
    x, y = points.mean(0).tolist()
    return x, y, width, height
