"""Between the pixels of a frame and cells at stride 4 whose corners coincide with the frame's.

FEELVOS and DeepLab map position i of n to position i (m - 1) / (n - 1) of m, in both directions and at any size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.geometry import MASK_STRIDE


def cells(side: int, stride: int = MASK_STRIDE) -> int:
    """How many cells stand for a side of so many pixels."""
    return (side - 1) // stride + 1


def nearest_places(source: int, target: int) -> NDArray[np.int64]:
    """For each of `target` positions the nearest of `source` ones, halves upwards, in single precision."""
    step = np.float32(source - 1) / np.float32(target - 1) if target > 1 else np.float32(0)
    places = np.floor(np.arange(target, dtype=np.float32) * step + np.float32(0.5)).astype(np.int64)
    return np.minimum(places, source - 1)


def nearest_labels(labels: Tensor, size: Sequence[int]) -> Tensor:
    """... H W labels -> ... h w, those of the nearest pixels."""
    rows, columns = (
        torch.from_numpy(nearest_places(source, target)).to(labels.device)
        for source, target in zip(labels.shape[-2:], size, strict=True)
    )
    return labels[..., rows[:, None], columns]


def enlarged(maps: Tensor, size: Sequence[int]) -> Tensor:
    """N C h w -> N C H W, bilinear."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=True)


def best_labels(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Which of N maps N h w, enlarged to H W pixels, is the largest there, of equal ones the first: H W, 0..N-1.

    One map is enlarged at a time, because frames may be large and objects many.
    """
    best = enlarged(maps[None, :1], size)[0, 0]
    labels = torch.zeros(best.shape, dtype=torch.int64, device=maps.device)
    for number in range(1, len(maps)):
        one = enlarged(maps[None, number : number + 1], size)[0, 0]
        ahead = one > best
        labels[ahead] = number
        best = torch.where(ahead, one, best)
    return labels
