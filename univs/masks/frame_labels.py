"""From the mask logits of each object to one label map of the frame: where the objects meet, and labels of full size.

Objects meet in soft aggregation, at a quarter of the input. Labels and masks of the frame's size are then made pixel by
pixel at the seams alone. Between four cells a bilinear map is a mean of the four: where the same row is clearly ahead
at all of them it is ahead at every pixel between them. Pixels of the other quads are computed as `F.interpolate` would;
on a 4K frame that is a twentieth of them.

Shapes: N objects, P maps, h w cells of the input, H W pixels of the frame, Q quads at the seams.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from univs.masks.geometry import MASK_STRIDE, Geometry

CLEAR = 1e-4
"""Lead, as a share of the larger value (and of 1), that no rounding takes away."""
AT_ONCE = 1 << 21
"""Values that are held at a time."""
EPSILON = 1e-7
"""Given masks are probabilities this far from 0 and 1, as in STM."""


def soft_aggregate(logits: Tensor) -> Tensor:
    """Odds of background and objects against each other (STM, section 3.3).

    The background's probability is that of no object being there, prod(1 - p_n); the odds p / (1 - p) of all
    N + 1 are what competes.

    Args:
        logits: ... N h w, of each object on its own.
    Returns:
        ... N+1 h w log-odds, background first. Their soft-max over N + 1 is the joint probability.
    """
    absent = F.logsigmoid(-logits).sum(-3, keepdim=True)  # log prod(1 - p)
    present = torch.log(-torch.expm1(absent.clamp_max(-1e-30)))  # log(1 - prod(1 - p)), finite for any logits
    return torch.cat([absent - present, logits], dim=-3)


def to_logits(masks: Tensor) -> Tensor:
    """Shares 0..1 of given masks -> logits."""
    return torch.logit(masks, eps=EPSILON)


def label_map(
    log_odds: Tensor, object_ids: Sequence[int], geometry: Geometry, dtype: DTypeLike = np.uint8
) -> NDArray[Any]:
    """The object with the largest odds at each pixel of the frame.

    Args:
        log_odds: N+1 H'/4 W'/4 over the padded input from `soft_aggregate`, background first.
        object_ids: of the N objects; `dtype` must hold them.
    Returns:
        H W labels, 0 for the background. Of equal odds the first counts.
    """
    rows, columns = geometry.cells
    return largest(log_odds[:, :rows, :columns], np.array([0, *object_ids], dtype), geometry)


def largest(maps: Tensor, ids: NDArray[Any], geometry: Geometry) -> NDArray[Any]:
    """Of P h w maps of the frame's cells, whose names are `ids`, the name of the largest at each pixel: H W.

    Of equal maps the first counts.
    """
    values = np.ascontiguousarray(maps.detach().float().cpu().numpy())
    ahead, clear = leaders(values)
    labels = spread(ids[ahead], geometry)
    if len(values) > 1:
        paint_seams(labels, values, ids, ahead, seams(ahead, clear), geometry)
    return labels


def mask_of(logits: Tensor, geometry: Geometry) -> NDArray[np.bool_]:
    """H'/4 W'/4 mask logits over the padded input -> H W, where they are positive."""
    return label_map(torch.stack([torch.zeros_like(logits), logits]), [1], geometry, np.bool_)


def painted(
    masks: Mapping[int, NDArray[np.bool_]], size: tuple[int, int], order: Sequence[int] | None = None
) -> NDArray[Any]:
    """H W object ids of H W masks that may overlap: of two the later in `order` wins; None: the larger id."""
    labels = np.zeros(size, label_type(masks))
    for object_id in sorted(masks) if order is None else order:
        labels[masks[object_id]] = object_id
    return labels


def label_type(object_ids: Iterable[int]) -> type[np.integer[Any]]:
    """The smallest type that holds these ids."""
    return np.uint8 if max(object_ids, default=0) <= 255 else np.int32


@dataclass(frozen=True)
class Axis:
    """Where the pixels of one direction lie among its cells.

    counts: of each cell, the pixels that it is the nearer or equal lower neighbour of. starts: the first of them.
    weights: of each pixel, the share of the next cell.
    """

    counts: NDArray[np.int64]
    starts: NDArray[np.int64]
    weights: NDArray[np.float32]


@lru_cache(maxsize=16)
def axis(pixels: int, inner: int) -> Axis:
    """Of `pixels` of the frame that show `inner` pixels of the input, with cells of `MASK_STRIDE` of these."""
    cells = -(-inner // MASK_STRIDE)
    step = np.float32(1 / (MASK_STRIDE * pixels / inner))
    places = np.maximum(step * (np.arange(pixels, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5), 0)
    below = np.minimum(places.astype(np.int64), cells - 1)
    counts = np.bincount(below, minlength=cells)
    return Axis(counts, np.cumsum(counts) - counts, np.clip(places - below.astype(np.float32), 0, 1))


def axes(geometry: Geometry) -> tuple[Axis, Axis]:
    """Downward and across."""
    return axis(geometry.height, geometry.input_height), axis(geometry.width, geometry.input_width)


def leaders(maps: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """P h w -> h w row of the largest value, and whether it is clearly ahead of all others."""
    ahead = maps.argmax(0)
    if len(maps) == 1:
        return ahead, np.ones(ahead.shape, bool)
    second, first = np.partition(maps, len(maps) - 2, axis=0)[-2:]
    return ahead, first - second > CLEAR * (1 + np.maximum(np.abs(first), np.abs(second)))


def seams(ahead: NDArray[np.intp], clear: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """h w: whether some pixel between a cell and its next ones (right, below, diagonal) has to be looked at."""
    ahead = np.pad(ahead, ((0, 1), (0, 1)), mode="edge")
    clear = np.pad(clear, ((0, 1), (0, 1)), mode="edge")
    corners = [(slice(y, y - 1 or None), slice(x, x - 1 or None)) for y in (0, 1) for x in (0, 1)]
    certain = np.logical_and.reduce([clear[corner] & (ahead[corner] == ahead[:-1, :-1]) for corner in corners])
    return ~certain


def spread(cells: NDArray[Any], geometry: Geometry) -> NDArray[Any]:
    """h w -> H W: each pixel as its lower neighbour among the cells."""
    down, across = axes(geometry)
    return np.repeat(np.repeat(cells, across.counts, axis=1), down.counts, axis=0)


def paint_seams(
    labels: NDArray[Any],
    maps: NDArray[np.float32],
    ids: NDArray[Any],
    ahead: NDArray[np.intp],
    looked_at: NDArray[np.bool_],
    geometry: Geometry,
) -> None:
    """Put the id of the largest of P maps on the pixels of H W labels that lie in the quads looked at.

    A map that nowhere in a quad reaches what the one ahead there has everywhere in it is not enlarged: of many names
    few meet at a place.
    """
    down, across = axes(geometry)
    rows, columns = np.nonzero(looked_at)
    tall, wide = int(down.counts.max()), int(across.counts.max())
    padded = np.pad(maps, ((0, 0), (0, 1), (0, 1)), mode="edge")
    several = max(1, AT_ONCE // (tall * wide))
    for start in range(0, len(rows), several):
        y, x = rows[start : start + several], columns[start : start + several]
        pixels_y, inside_y, weight_y = _block(down, y, tall)
        pixels_x, inside_x, weight_x = _block(across, x, wide)
        corners = (y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)
        least = np.minimum.reduce([padded[ahead[y, x], row, column] for row, column in corners])
        least -= CLEAR * (1 + np.abs(least))
        best = np.full((len(y), tall, wide), -np.inf, np.float32)
        found = np.zeros(best.shape, ids.dtype)
        for number, values in zip(ids, padded, strict=True):
            at_corners = [values[corner] for corner in corners]
            reaches = np.maximum.reduce(at_corners) >= least
            near = slice(None) if reaches.all() else np.flatnonzero(reaches)
            upper_left, upper_right, lower_left, lower_right = (corner[near] for corner in at_corners)
            above = _blend(upper_left, upper_right, weight_x[near])
            below = _blend(lower_left, lower_right, weight_x[near])
            share = weight_y[near][:, :, None]
            value = above[:, None] * (1 - share) + below[:, None] * share
            wins = value > best[near]
            found[near] = np.where(wins, number, found[near])
            best[near] = np.maximum(value, best[near])
        inside = inside_y[:, :, None] & inside_x[:, None]
        places = pixels_y[:, :, None] * labels.shape[1] + pixels_x[:, None]
        labels.reshape(-1)[places[inside]] = found[inside]


def _block(along: Axis, cells: NDArray[np.intp], most: int) -> tuple[Any, Any, Any]:
    """Of each quad: its pixels in one direction, Q most; which of them are its own; the share of the next cell."""
    pixels = along.starts[cells][:, None] + np.arange(most)
    inside = np.arange(most) < along.counts[cells][:, None]
    return pixels, inside, along.weights[np.minimum(pixels, len(along.weights) - 1)]


def _blend(left: NDArray[np.float32], right: NDArray[np.float32], share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Q values of two cells, Q n shares of the second -> Q n."""
    return left[:, None] * (1 - share) + right[:, None] * share
