"""How far each pixel's embedding is from those of an object: anywhere in earlier frames, or near its own place.

Voigtlaender et al., "FEELVOS: Fast End-to-End Embedding Learning for Video Object Segmentation", CVPR 2019, sections
3.3 to 3.5. Free functions without state; the product of all pairs is that of `memory_read`, never kept whole.
Shapes: N objects, P pixels that ask, M pixels that are known, C channels, h w size of a map.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from univs.models.memory_read import memory_side, query_side, similarity, top_k

SCORES_AT_ONCE = 1 << 20
"""Pairs that are compared at a time: 4 MiB."""
TILE, GPU_TILE = 8, 48
"""Side of the squares of pixels that meet their surroundings together. On a GPU few large products are quicker."""
NOWHERE = -1
"""In place of a row, where an object has no pixel within reach."""
Window = tuple[slice, slice]
"""Rows and columns of a map."""


def pixel_rows(embedding: Tensor) -> Tensor:
    """C h w -> h*w C, each pixel a row."""
    return embedding.flatten(1).T


def known_rows(rows: Tensor) -> Tensor:
    """M C rows as those that are compared with: M C+2, of which `memory_read.similarity` makes -|a - b|^2."""
    one = rows.new_ones(1, len(rows), 1)
    return memory_side(rows[None], one * math.sqrt(rows.shape[1]))[0]


def squared_distances(query: Tensor, known: Tensor) -> Tensor:
    """P C rows and M C+2 `known_rows` -> P M squared distances, at least 0."""
    return -similarity(query_side(query[None]), known[None])[0].clamp_max(0)


def normalised(squared: Tensor) -> Tensor:
    """Squared distances -> 0..1: 1 - 2 / (1 + exp(d)) (equation 1), which is tanh(d / 2); 1 where they are infinite."""
    return (squared / 2).tanh()


def global_distances(query: Tensor, references: Sequence[Tensor], k: int = 1, absent: float = math.inf) -> Tensor:
    """Squared distance of each pixel to the nearest pixels of each object (section 3.4).

    Args:
        query: P C rows.
        references: of each object the M C+2 `known_rows` of its pixels, perhaps none.
        k: the mean distance of so many nearest ones; where an object has fewer, the farthest stands for the others.
        absent: what an object without pixels gets. The official program has 0 where k > 1 (and 1e20 for k = 1).
    Returns:
        N P.
    """
    asked = query_side(query[None])[0]
    longest = max((len(reference) for reference in references), default=0)
    at_once = max(16, SCORES_AT_ONCE // max(longest, 1))
    nearest = _nearest_chosen if _learns(query, *references) else _nearest
    parts = []
    for chunk in asked.split(at_once):
        far = chunk.new_full((len(chunk),), absent)
        parts.append(torch.stack([nearest(chunk, known, k) if len(known) else far for known in references]))
    return torch.cat(parts, 1)


def _nearest(asked: Tensor, known: Tensor, k: int) -> Tensor:
    """Mean squared distance P to the k nearest of M known rows."""
    scores = similarity(asked[None], known[None])[0]
    if k == 1:
        return -scores.amax(1).clamp_max(0)
    return _mean_of(top_k(scores, k)[0], k)


def _nearest_chosen(asked: Tensor, known: Tensor, k: int) -> Tensor:
    """`_nearest` for training: the way back goes through the chosen pairs alone, not through all."""
    with torch.no_grad():
        places = top_k(similarity(asked[None], known[None])[0], k)[1]  # P k
    return _mean_of((asked[:, None] * known[places]).sum(2), k)


def _mean_of(best: Tensor, k: int) -> Tensor:
    """Scores P k of the nearest, or of fewer where there are no more -> mean squared distance P."""
    best = best.clamp_max(0)
    missing = k - best.shape[1]
    return -(best.sum(1) + missing * best.amin(1)) / k


def local_distances(query: Tensor, previous: Tensor, labels: NDArray[np.integer], count: int, radius: int) -> Tensor:
    """Squared distance of each pixel to the nearest pixel of each object around its place (section 3.5).

    The map is cut into tiles, whose pixels meet each object's pixels within reach of the tile in one product; those out
    of a pixel's own window are masked. So no more than a tile's pairs exist at a time.

    Args:
        query: C h w.
        previous: h*w C+2 `known_rows` of the frame before.
        labels: h w of that frame; pixels of numbers other than 0..count-1 are nobody's.
        radius: pixels to each side: the window is (2 radius + 1)^2.
    Returns:
        N h w, infinite where an object has no pixel in the window.
    """
    if _learns(query, previous):  # the way back goes through the chosen pairs alone, not through all
        places = _nearest_places(query, previous, labels, count, radius)
        asked = query_side(pixel_rows(query)[None])
        distances = -(asked * previous[places.flatten(1).clamp_min(0)]).sum(2).clamp_max(0)
        return distances.view_as(places).masked_fill(places == NOWHERE, math.inf)
    result = query.new_full((count, *query.shape[1:]), math.inf)
    for tile, around, scores in _tiles(query, previous, radius):
        for number, own in _rows_of_each(labels[around], count, query.device):
            ours = scores if len(own) == len(scores) else scores[own]
            result[number][tile] = -ours.amax(0).clamp_max(0).view_as(result[number][tile])
    return result


@torch.no_grad()
def _nearest_places(query: Tensor, previous: Tensor, labels: NDArray[np.integer], count: int, radius: int) -> Tensor:
    """As `local_distances` -> N h w, the row of `previous` that is nearest; NOWHERE where there is none."""
    height, width = query.shape[1:]
    places = torch.full((count, height, width), NOWHERE, device=query.device)
    numbers = torch.arange(height * width, device=query.device).view(height, width)
    for tile, around, scores in _tiles(query, previous, radius):
        for number, own in _rows_of_each(labels[around], count, query.device):
            best, rows = scores[own].max(0)
            found = numbers[around].flatten()[own][rows].masked_fill(best == -math.inf, NOWHERE)
            places[number][tile] = found.view_as(places[number][tile])
    return places


def _learns(*tensors: Tensor) -> bool:
    """Whether gradients will come back to any of them."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _tiles(query: Tensor, previous: Tensor, radius: int) -> Iterator[tuple[Window, Window, Tensor]]:
    """Each tile of C h w, its surroundings in the frame before, and M t*t scores of their pairs: minus the squared
    distances, -inf out of reach."""
    height, width = query.shape[1:]
    side = TILE if query.device.type == "cpu" else GPU_TILE
    asked = query_side(pixel_rows(query)[None])[0].view(height, width, -1)
    places, reach = previous.view(height, width, -1), _out_of_reach(radius, side, query)
    for top in range(0, height, side):
        for left in range(0, width, side):
            tile = slice(top, min(top + side, height)), slice(left, min(left + side, width))
            rows, columns = _around(tile[0], radius, height), _around(tile[1], radius, width)
            mask = reach[
                rows.start - top + radius : rows.stop - top + radius,
                columns.start - left + radius : columns.stop - left + radius,
                : tile[0].stop - top,
                : tile[1].stop - left,
            ]
            scores = torch.addmm(
                mask.flatten(0, 1).flatten(1), places[rows, columns].flatten(0, 1), asked[tile].flatten(0, 1).T
            )
            yield tile, (rows, columns), scores


def _around(tile: slice, radius: int, length: int) -> slice:
    """The positions of a side within reach of a tile."""
    return slice(max(0, tile.start - radius), min(length, tile.stop + radius))


def _rows_of_each(labels: NDArray[np.integer], count: int, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """Each of `count` objects that some of these labels name, and where they do, counted row by row."""
    for number in range(count):
        own = np.flatnonzero(labels == number)
        if len(own):
            yield number, torch.from_numpy(own).to(device)


def _out_of_reach(radius: int, side: int, like: Tensor) -> Tensor:
    """g g t t: for a pixel of the surroundings of a tile and one of the tile 0, or -inf if they are too far apart."""
    around = torch.arange(side + 2 * radius, device=like.device) - radius  # relative to the tile's origin
    close = (around[:, None] - torch.arange(side, device=like.device)).abs() <= radius  # g t
    both = close[:, None, :, None] & close[None, :, None, :]
    return torch.zeros(both.shape, dtype=like.dtype, device=like.device).masked_fill(~both, -math.inf)


def labels_of_nearest(query: Tensor, known: Tensor, labels: Tensor, k: int = 1) -> Tensor:
    """What the k nearest known pixels are, by majority, of equal ones the lower label: labels without any head.

    Args:
        query: P C rows.
        known: M C+2 `known_rows`.
        labels: M, at least 0.
    Returns:
        P.
    """
    at_once = max(16, SCORES_AT_ONCE // len(known))
    parts = []
    for chunk in query.split(at_once):
        near = labels[top_k(-squared_distances(chunk, known), k)[1]]  # P k
        votes = F.one_hot(near, int(labels.max()) + 1).sum(1)
        parts.append(votes.argmax(1))
    return torch.cat(parts)
