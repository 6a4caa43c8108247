"""Strokes as pixels: H W maps of what a brush has touched."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from univs.interactive.interactions import Stroke

BoolMask = NDArray[np.bool_]


def draw_stroke(stroke: Stroke, size: tuple[int, int]) -> BoolMask:
    """All pixels that the brush touches, H W bool; what lies outside of the frame is left out.

    Points fall on the nearest pixel. Between two of them lies a band that reaches `radius` pixels to either side, and
    every pixel that it comes within half a pixel of along a row or column; round each point lies a disk.
    """
    touched = np.zeros(size, bool)
    points = [(float(np.rint(x)), float(np.rint(y))) for x, y in stroke.xy]
    radius = 0 if stroke.size == 1 else (stroke.size + 1) // 2
    for start, end in zip(points, points[1:] or points, strict=False):
        _draw_segment(touched, start, end, radius)
    return touched


def draw_signs(strokes: Iterable[Stroke], size: tuple[int, int]) -> tuple[BoolMask, BoolMask]:
    """Where strokes say that the object is, and where that it is not, each H W; later ones lie upon earlier ones."""
    positive, negative = np.zeros(size, bool), np.zeros(size, bool)
    for stroke in strokes:
        touched = draw_stroke(stroke, size)
        mine, other = (positive, negative) if stroke.positive else (negative, positive)
        mine |= touched
        other &= ~touched
    return positive, negative


def _draw_segment(touched: BoolMask, start: tuple[float, float], end: tuple[float, float], radius: int) -> None:
    """Mark the band between two pixels and the disks round them, in the window that holds both."""
    height, width = touched.shape
    reach = radius + 1
    left, right = (int(f(start[0], end[0]) + d) for f, d in ((min, -reach), (max, reach + 1)))
    top, bottom = (int(f(start[1], end[1]) + d) for f, d in ((min, -reach), (max, reach + 1)))
    rows, columns = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    y, x = np.mgrid[rows, columns].astype(np.float64)
    near = np.zeros(y.shape, bool)
    for px, py in (start, end):
        near |= (x - px) ** 2 + (y - py) ** 2 <= radius * radius
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    if length:
        dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
        along = (x - start[0]) * dx + (y - start[1]) * dy
        across = (x - start[0]) * dy - (y - start[1]) * dx
        half = max(abs(dx), abs(dy)) / 2  # half a pixel along a row or a column, measured across the line
        near |= (np.abs(across) < radius + half) & (along > -half) & (along < length + half)
    touched[rows, columns] |= near
