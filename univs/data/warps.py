"""Smooth movement of flat layers over the frames of a clip: affine paths and random smooth fields on top.

Pixel coordinates throughout; a layer is moved by a forward matrix (source pixel -> output pixel) per frame.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from univs.errors import UserError

FIELD_CELLS = 33


@functools.cache
def opencv() -> Any:
    """OpenCV, single-threaded. Raises UserError where it is not installed."""
    try:
        import cv2
    except ImportError as error:
        raise UserError("training clips need OpenCV: pip install univs[train]") from error
    cv2.setNumThreads(0)
    return cv2


@dataclass(frozen=True)
class Motion:
    """Path of a layer over T frames."""

    centre: np.ndarray  # T 2: where the layer's origin lies, output pixels
    scale: np.ndarray  # T: output pixels per source pixel
    rotation: np.ndarray  # T: radians
    aspect: np.ndarray  # T: widening of x over y
    mirror: bool = False

    def matrices(self, origin: tuple[float, float]) -> np.ndarray:
        """Forward matrices T 2 3 (source -> output pixels) that put source point `origin` on the centre."""
        cosine, sine = np.cos(self.rotation), np.sin(self.rotation)
        x = self.scale * np.sqrt(self.aspect) * (-1 if self.mirror else 1)
        y = self.scale / np.sqrt(self.aspect)
        linear = np.stack([np.stack([cosine * x, -sine * y], -1), np.stack([sine * x, cosine * y], -1)], 1)
        shift = self.centre - linear @ np.array(origin)
        return np.concatenate([linear, shift[:, :, None]], axis=2)


def smooth_curve(rng: np.random.Generator, frames: int, change: float, wobble: float = 0.0) -> np.ndarray:
    """T values from 0 to `change` (eased in or out at random), each shaken by a normal value of size `wobble`."""
    time = np.linspace(0, 1, frames)
    return change * time ** np.exp(rng.uniform(-0.5, 0.5)) + wobble * rng.standard_normal(frames)


def pace(frames: int) -> float:
    """How much further things move in a clip of `frames` frames than in one of four."""
    return min((frames - 1) / 3, 2.0)


def smooth_field(rng: np.random.Generator, frames: int, amplitude: float) -> np.ndarray:
    """Random smooth displacement over the unit square, changing slowly: T G G 2 float32, of size about `amplitude`."""
    cv2 = opencv()
    cells = int(rng.integers(3, 6))
    ends = [
        cv2.resize(noise, (FIELD_CELLS, FIELD_CELLS), interpolation=cv2.INTER_CUBIC)
        for noise in rng.standard_normal((2, cells, cells, 2), dtype=np.float32)
    ]
    angle = rng.uniform(0, 2 * np.pi) + smooth_curve(rng, frames, rng.uniform(0.3, 2.0) * pace(frames))
    weights = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32) * (amplitude * 3 / cells)
    return np.tensordot(weights, np.stack(ends), axes=1)


def source_map(
    forward: np.ndarray, field: np.ndarray | None, source: tuple[int, int], window: tuple[int, int, int, int]
) -> np.ndarray:
    """Where each output pixel is taken from: h w 2 float32 source pixels (x, y).

    `forward` 2 3 source -> output; `field` G G 2 displaces in source pixels and is spread over the source of
    (height, width) `source`, so that it moves with the layer; `window` x0 y0 x1 y1 is the output area asked for.
    """
    cv2 = opencv()
    inverse = cv2.invertAffineTransform(np.asarray(forward, np.float64))
    x0, y0, x1, y1 = window
    xs, ys = np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32)[:, None]
    taken = np.empty((y1 - y0, x1 - x0, 2), np.float32)
    for axis in range(2):
        a, b, c = inverse[axis].astype(np.float32)
        taken[..., axis] = (a * xs + c) + b * ys
    if field is not None:
        cells = field.shape[0]
        per_pixel = np.array([cells / source[1], cells / source[0]])
        to_grid = inverse * per_pixel[:, None]
        to_grid[:, 2] += (inverse[:, :2] @ np.array([x0, y0]) + 0.5) * per_pixel - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        taken += cv2.warpAffine(field, to_grid, (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return taken


def covered_window(
    forward: np.ndarray, source: tuple[int, int], margin: float, size: int
) -> tuple[int, int, int, int] | None:
    """Part of the size x size output that a source of (height, width) can reach, x0 y0 x1 y1; None if none."""
    height, width = source
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ np.asarray(forward).T
    margin = margin * float(np.sqrt(abs(np.linalg.det(forward[:, :2])))) + 2
    x0, y0 = np.maximum(np.floor(corners.min(0) - margin), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(corners.max(0) + margin), size).astype(int)
    return (int(x0), int(y0), int(x1), int(y1)) if x1 > x0 and y1 > y0 else None
