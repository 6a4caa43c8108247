"""Drawing prompts from true masks the way a person would give them, for training.

Coordinates are pixels of the training crop. N objects, P points; labels are 1 for +, 0 for -, -1 for padding.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy import ndimage
from skimage.draw import line
from torch import Tensor

KINDS = ("mask", "box", "point", "scribble")


def draw_kind(rng: np.random.Generator, shares: Mapping[str, float]) -> str:
    """One of `KINDS`, with probabilities proportional to `shares`."""
    weights = np.array([shares.get(kind, 0.0) for kind in KINDS], dtype=float)
    return KINDS[int(rng.choice(len(KINDS), p=weights / weights.sum()))]


def draw_boxes(rng: np.random.Generator, masks: np.ndarray, jitter: float = 0.08) -> Tensor:
    """Bounding boxes N 4 (x0, y0, x1, y1) of masks N H W, drawn with more or less care; 0 if empty.

    Each side of a box is moved by up to a share of its size that is drawn per box from 0 to `jitter`.
    """
    boxes = np.zeros((len(masks), 4), np.float32)
    height, width = masks.shape[1:]
    for row, mask in zip(boxes, masks, strict=True):
        ys, xs = np.nonzero(mask)
        if len(xs):
            box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float32)
            size = np.tile(box[2:] - box[:2], 2)
            box += rng.uniform(0, jitter) * rng.uniform(-1, 1, 4).astype(np.float32) * size
            row[:] = np.clip(box, 0, [width, height, width, height])
    return torch.from_numpy(boxes)


def draw_points(rng: np.random.Generator, masks: np.ndarray, most: int = 3) -> tuple[Tensor, Tensor]:
    """Clicks on masks N H W: the first deep inside, further ones anywhere inside (+) or just outside (-).

    Returns:
        points N most 2 (x, y) at pixel centres, and labels N most.
    """
    points = np.zeros((len(masks), most, 2), np.float32)
    labels = np.full((len(masks), most), -1, np.int64)
    for row, sign, mask in zip(points, labels, masks, strict=True):
        if not mask.any():
            continue
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        outside = ndimage.distance_transform_edt(~mask)
        near = (outside > 2) & (outside < 0.4 * np.sqrt(mask.sum()) + 6)
        for i in range(int(rng.integers(1, most + 1))):
            positive = i == 0 or not near.any() or rng.random() < 0.5
            candidates = depth >= rng.uniform(0.3, 0.9) * depth.max() if i == 0 else (mask if positive else near)
            ys, xs = np.nonzero(candidates)
            pick = int(rng.integers(len(xs)))
            row[i] = (xs[pick] + 0.5, ys[pick] + 0.5)
            sign[i] = int(positive)
    return torch.from_numpy(points), torch.from_numpy(labels)


def draw_scribbles(rng: np.random.Generator, masks: np.ndarray) -> Tensor:
    """Strokes N H W (float 0/1) inside masks N H W: a bent line through two or three inner pixels, cut to the mask."""
    strokes = np.zeros(masks.shape, np.float32)
    for stroke, mask in zip(strokes, masks, strict=True):
        if not mask.any():
            continue
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        ys, xs = np.nonzero(depth >= 0.35 * depth.max())
        picks = rng.integers(len(xs), size=int(rng.integers(2, 4)))
        for a, b in zip(picks[:-1], picks[1:], strict=True):
            rows, columns = line(int(ys[a]), int(xs[a]), int(ys[b]), int(xs[b]))
            stroke[rows, columns] = 1
        stroke[:] = ndimage.binary_dilation(stroke > 0, iterations=2) & mask
    return torch.from_numpy(strokes)
