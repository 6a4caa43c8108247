"""Large maps of many queries or entities piece by piece, so that no full-size map of all of them is ever there.

Shapes: N queries or entities, h w a quarter of the padded input H' W', H W pixels of the input.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from univs.streaming.geometry import STRIDE, Geometry
from univs.streaming.scores import upsampled

BAND = 8
"""Rows of cells that are enlarged at a time."""


def padded_bands(logits: Tensor) -> Iterator[tuple[int, Tensor]]:
    """N h w -> N H' W' enlarged bilinearly, piece by piece from above, each with its first row."""
    cells = logits.shape[1]
    for top in range(0, cells, BAND):
        below = min(top + BAND, cells)
        # a cell more on each side, as the neighbour it blends with
        first, last = max(0, top - 1), min(below + 1, cells)
        yield top * STRIDE, upsampled(logits[:, first:last])[:, (top - first) * STRIDE :][:, : (below - top) * STRIDE]


def input_bands(logits: Tensor, geometry: Geometry) -> Iterator[tuple[int, Tensor]]:
    """N h w -> N H W enlarged bilinearly and cut to the input, piece by piece from above, each with its first row."""
    height, width = geometry.input_height, geometry.input_width
    for top, band in padded_bands(logits[:, : -(-height // STRIDE) + 1]):
        if top >= height:
            return
        yield top, band[:, : height - top, :width]
