"""The anchors of SiamMask: boxes of a few shapes at every cell of the answer, in pixels of the crop.

As in SiamRPN (Li et al., CVPR 2018). Shapes: A anchors (scales within ratios), n cells to a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Anchors:
    """Which anchors there are.

    stride: pixels of the crop from cell to cell. ratios: height to width. scales: side of a square anchor in strides.
    digits: to which sides are rounded before they are scaled; None: the fraction is cut off.
    """

    stride: int = 8
    ratios: Sequence[float] = (0.33, 0.5, 1.0, 2.0, 3.0)
    scales: Sequence[float] = (8.0,)
    digits: int | None = None

    def __len__(self) -> int:
        return len(self.ratios) * len(self.scales)

    def sizes(self) -> Array:
        """A 2 widths and heights."""
        sides = []
        for ratio in self.ratios:
            width = self._rounded((self.stride**2 / ratio) ** 0.5)
            height = self._rounded(width * ratio)
            sides += [(width * scale, height * scale) for scale in self.scales]
        return np.array(sides, np.float64)

    def _rounded(self, side: float) -> float:
        return float(int(side)) if self.digits is None else round(side, self.digits)


def centred_grid(anchors: Anchors, cells: int) -> Array:
    """(A n n) 4 centre x, y, width, height, relative to the middle of the crop; in the order anchor, y, x."""
    return centre_grid(anchors, cells, 0).reshape(4, -1).T


def centre_grid(anchors: Anchors, cells: int, middle: float) -> Array:
    """4 A n n centre x, y, width, height, where the middle cell is centred at pixel (middle, middle)."""
    places = middle + (np.arange(cells) - cells // 2) * float(anchors.stride)
    grid = np.empty((4, len(anchors), cells, cells))
    grid[0], grid[1] = places[None, None, :], places[None, :, None]
    grid[2:] = anchors.sizes().T[:, :, None, None]
    return grid


def corners(grid: Array) -> Array:
    """4 ... centre x, y, width, height -> 4 ... left, top, right, bottom."""
    centre, half = grid[:2], grid[2:] / 2
    return np.concatenate([centre - half, centre + half])
