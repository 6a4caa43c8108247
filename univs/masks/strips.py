"""Large maps of many queries or entities piece by piece, so that no full-size map of all of them is ever there.

Shapes: N queries or entities, h w a quarter of the padded input H' W', H W pixels of the input.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.masks.geometry import MASK_STRIDE, Geometry

STRIP = 8
"""Rows of cells that are enlarged at a time."""


def padded_strips(logits: Tensor) -> Iterator[tuple[int, Tensor]]:
    """N h w -> N H' W' enlarged bilinearly, piece by piece from above, each with its first row."""
    cells = logits.shape[1]
    for top in range(0, cells, STRIP):
        below = min(top + STRIP, cells)
        # a cell more on each side, as the neighbour it blends with
        first, last = max(0, top - 1), min(below + 1, cells)
        large = upsampled(logits[:, first:last])[:, (top - first) * MASK_STRIDE :]
        yield top * MASK_STRIDE, large[:, : (below - top) * MASK_STRIDE]


def input_strips(logits: Tensor, geometry: Geometry) -> Iterator[tuple[int, Tensor]]:
    """N h w -> N H W enlarged bilinearly and cut to the input, piece by piece from above, each with its first row."""
    height, width = geometry.input_height, geometry.input_width
    for top, strip in padded_strips(logits[:, : -(-height // MASK_STRIDE) + 1]):
        if top >= height:
            return
        yield top, strip[:, : height - top, :width]


def upsampled(logits: Tensor, factor: int = 4) -> Tensor:
    """N h w -> N H W, bilinear."""
    return F.interpolate(logits[None], scale_factor=factor, mode="bilinear", align_corners=False)[0]


def resettled(logits: Tensor) -> Tensor:
    """... h w maps enlarged four times and shrunk again, both bilinear, without the large map in between.

    A cell keeps 14/16 of itself and takes 1/16 from each neighbour of its axis; cells beyond the edge are those at it.
    """
    for dim in (-1, -2):
        size = logits.shape[dim]
        before, after = logits.narrow(dim, 0, 1), logits.narrow(dim, size - 1, 1)
        wide = torch.cat([before, logits, after], dim)
        logits = 0.0625 * (wide.narrow(dim, 0, size) + wide.narrow(dim, 2, size)) + 0.875 * logits
    return logits
