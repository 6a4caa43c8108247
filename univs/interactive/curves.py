"""Curves through points and lines of pixels, as the DAVIS interactive tools draw them.

Points are (x, y). Paths of scribbles are in 0..1 of the frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""P x 2."""
NOTHING = -1
"""In maps of labels drawn: nobody has drawn here."""
Manner = Literal["lines", "curves", "points"]


def bezier(points: Points, count: int) -> Points:
    """So many points of the Bezier curve that P points control, from the first to the last of them (Bernstein)."""
    from scipy.special import xlog1py, xlogy

    points = np.asarray(points, float)
    degree = len(points) - 1
    t = np.linspace(0, 1, count)[:, None]
    number = np.arange(degree + 1)
    weights = np.exp(xlogy(number, t) + xlog1py(degree - number, -t) + _log_binomials(degree))
    return weights @ points


def bresenham(points: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The pixels of the lines from each of P pixels to the next, in order; the ends of the lines come once."""
    points = np.asarray(points, np.int64)
    parts = [points[:1]]
    for start, end in zip(points, points[1:], strict=False):
        way = end - start
        steps = int(np.abs(way).max())
        k = np.arange(1, steps + 1)[:, None]
        # the nearest pixel of the slower coordinate; of two that are equally near, the one ahead
        parts.append(start + np.sign(way) * ((2 * k * np.abs(way) + steps) // max(2 * steps, 1)))
    return np.concatenate(parts)


def draw_paths(
    paths: Iterable[tuple[int, Sequence[tuple[float, float]] | Points]],
    size: tuple[int, int],
    manner: Manner = "lines",
    samples: int = 1000,
) -> NDArray[np.int16]:
    """Scribbles as a map of labels, H W, `NOTHING` where nobody has drawn; later ones lie upon earlier ones.

    Args:
        paths: label and points of each scribble, 0..1 of the frame: multiplied by (W - 1, H - 1) and rounded down.
        manner: joined by lines, a Bezier curve of so many samples (joined by lines), or the points alone.
    """
    height, width = size
    drawn = np.full(size, NOTHING, np.int16)
    for label, path in paths:
        points = np.asarray(path, float).reshape(-1, 2)
        if manner == "curves":
            points = bezier(points, samples)
        pixels = (points * (width - 1, height - 1)).astype(np.int64)
        if manner != "points":
            pixels = bresenham(pixels)
        drawn[pixels[:, 1], pixels[:, 0]] = label
    return drawn


def _log_binomials(degree: int) -> NDArray[np.float64]:
    """Logarithms of degree over 0, 1, ... degree: the numbers themselves outgrow floats for long paths."""
    logs = np.concatenate([[0.0], np.log(np.arange(1, degree + 1)).cumsum()])
    return logs[degree] - logs - logs[::-1]
