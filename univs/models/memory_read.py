"""Reading from a space-time memory: similarity, top-k soft-max, read-out and the local window.

Free functions without state, shared by the dense memory and by the interactive modules. Shapes: B batch, N objects,
P query positions, M memory positions (entries x positions), Ck key channels, Cv value channels, h w feature size.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LOGIT_FLOOR = -40.0
"""Soft-max inputs are clamped this far below the maximum: exp(-40) is a normal float32, exp(-100) a slow denormal."""


def memory_side(key: Tensor, shrinkage: Tensor) -> Tensor:
    """Rows that, multiplied with `query_side` rows, give ``-s |k_m - k_q|^2 / sqrt(Ck)`` in a single matrix product.

    Args:
        key: B M Ck memory keys.
        shrinkage: B M 1 positive scales s.
    Returns:
        B M (Ck + 2).
    """
    scaled = shrinkage / math.sqrt(key.shape[-1])
    return torch.cat([2 * scaled * key, -scaled * key.square().sum(-1, keepdim=True), -scaled], dim=-1)


def query_side(key: Tensor) -> Tensor:
    """Counterpart of `memory_side`: B P Ck -> B P (Ck + 2)."""
    return torch.cat([key, torch.ones_like(key[..., :1]), key.square().sum(-1, keepdim=True)], dim=-1)


def similarity(query: Tensor, memory: Tensor) -> Tensor:
    """Negative scaled squared distance of all query to all memory positions (XMem, eq. 3, without selection).

    Args:
        query: B P (Ck + 2) from `query_side`.
        memory: B M (Ck + 2) from `memory_side`.
    Returns:
        B P M, at most 0 up to rounding.
    """
    return query @ memory.transpose(1, 2)


def softmax(similarity: Tensor) -> Tensor:
    """Soft-max over the last axis whose inputs are clamped at `LOGIT_FLOOR` below the row maximum."""
    shifted = similarity - similarity.amax(-1, keepdim=True).detach()
    return shifted.clamp_min(LOGIT_FLOOR).softmax(-1)


def top_k(scores: Tensor, k: int, group: int = 16) -> tuple[Tensor, Tensor]:
    """The k largest entries of every row, exactly, at a fraction of the cost of `torch.topk` on long rows.

    The row is seen as `group` interleaved strips; the k largest entries lie within the k columns whose maximum over the
    strips is largest, so only `k * group` candidates need sorting.

    Args:
        scores: ... x M.
        k: how many; rows shorter than k are returned whole.
    Returns:
        values and indices, ... x min(k, M), in no particular order.
    """
    length = scores.shape[-1]
    if length <= k:
        return scores, torch.arange(length, device=scores.device).expand_as(scores)
    columns = length // group
    if columns < 4 * k:
        return torch.topk(scores, k, dim=-1, sorted=False)
    rest = scores[..., columns * group :]
    strips = scores[..., : columns * group].unflatten(-1, (group, columns))
    best_columns = strips.amax(-2).topk(k, dim=-1, sorted=False).indices  # ... k
    offsets = torch.arange(group, device=scores.device) * columns
    candidates = (best_columns.unsqueeze(-1) + offsets).flatten(-2)  # ... k*group
    if rest.shape[-1]:
        tail = torch.arange(columns * group, length, device=scores.device).expand(*scores.shape[:-1], -1)
        candidates = torch.cat([candidates, tail], dim=-1)
    values, chosen = scores.gather(-1, candidates).topk(k, dim=-1, sorted=False)
    return values, candidates.gather(-1, chosen)


def read_out(affinity: Tensor, values: Tensor) -> Tensor:
    """Weighted sum of memory values: B P M and B N M Cv -> B N P Cv."""
    return affinity.unsqueeze(1) @ values


def read_out_top_k(scores: Tensor, values: Tensor, k: int | None) -> Tensor:
    """`read_out` of the soft-max over the k best memory positions of each query position.

    Args:
        scores: B P M similarities.
        values: B N M Cv.
        k: None: all positions.
    Returns:
        B N P Cv.
    """
    if k is None:
        return read_out(softmax(scores), values)
    best, index = top_k(scores, k)
    weights = softmax(best)
    rows = [
        torch.stack([F.embedding_bag(i, v, mode="sum", per_sample_weights=w) for v in per_object])
        for i, w, per_object in zip(index, weights.to(values.dtype), values, strict=True)
    ]
    return torch.stack(rows)


@torch.no_grad()
def read_in_chunks(query: Tensor, memory: Tensor, values: Tensor, k: int | None, rows: int = 64) -> Tensor:
    """`read_out_top_k` of the similarities of `query` and `memory`, for `rows` query positions at a time.

    Similarities are products of rows: of those from `query_side` and `memory_side`, or of plain keys.

    The similarities of a chunk stay in the processor's cache and use the same buffer over and over, which makes this
    several times faster than the whole P x M matrix. No gradient.

    Args:
        query: B P C.
        memory: B M C.
        values: B N M Cv.
        k: None: all positions.
    Returns:
        B N P Cv.
    """
    buffer = query.new_empty(rows, memory.shape[1])
    answers = []
    for asked, known, per_object in zip(query, memory, values, strict=True):
        parts = [
            read_out_top_k(torch.mm(chunk, known.T, out=buffer[: len(chunk)])[None], per_object[None], k)[0]
            for chunk in asked.split(rows)
        ]
        answers.append(torch.cat(parts, 1))
    return torch.stack(answers)


class LocalWindow:
    """Affinity between a map and the window of radius r around the same place in another map, and its read-out.

    The map is cut into square tiles; a tile's queries meet all keys of the tile grown by r, and those outside a query's
    own window are masked. So the whole read is two batched matrix products. Cosines are at most 1, so the soft-max
    needs no maximum: the weights are exp(temperature * (cosine - 1)), divided by their sum after the read-out.

    Args:
        query: B C h w, L2 normalised over C.
        key: B C h w, L2 normalised over C.
        radius: r in cells; the window is (2r + 1) x (2r + 1), cut at the border.
        temperature: factor on the cosine.
    """

    def __init__(self, query: Tensor, key: Tensor, radius: int, temperature: float = 14.0, tile: int = 8) -> None:
        height, width = query.shape[-2:]
        self.radius, self.tile, self.size = radius, tile, (height, width)
        self.grid = (-(-height // tile), -(-width // tile))
        one = torch.ones_like(query[:, :1])
        tiles = self._queries(temperature * torch.cat([query, -one], 1))  # B n t*t C+1
        scores = tiles @ self._neighbourhoods(torch.cat([key, one], 1))  # B n t*t g*g
        weights = scores.exp() if scores.requires_grad else scores.exp_()
        near = self._near(query.device).to(query.dtype)
        self.weights = weights * near if weights.requires_grad else weights.mul_(near)
        """B n t*t g*g, not normalised; keys outside the map have weights too, but nothing to say."""

    def _padding(self) -> tuple[int, int]:
        return self.grid[0] * self.tile - self.size[0], self.grid[1] * self.tile - self.size[1]

    def _queries(self, maps: Tensor) -> Tensor:
        below, right = self._padding()
        padded = F.pad(maps, (0, right, 0, below))
        tiles = padded.unflatten(2, (self.grid[0], self.tile)).unflatten(4, (self.grid[1], self.tile))  # B C gy t gx t
        return tiles.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(1, 2)

    def _neighbourhoods(self, maps: Tensor) -> Tensor:
        below, right = self._padding()
        r, side = self.radius, self.tile + 2 * self.radius
        padded = F.pad(maps, (r, r + right, r, r + below))
        windows = padded.unfold(2, side, self.tile).unfold(3, side, self.tile)  # B C gy gx g g
        return windows.permute(0, 2, 3, 1, 4, 5).flatten(1, 2).flatten(3, 4)

    def _near(self, device: torch.device) -> Tensor:
        """t*t x g*g: the key lies in the query's window."""
        place = torch.arange(self.tile + 2 * self.radius, device=device) - self.radius  # relative to the tile's origin
        near = (place[None, :] - torch.arange(self.tile, device=device)[:, None]).abs() <= self.radius  # t g
        return (near[:, None, :, None] & near[None, :, None, :]).flatten(2).flatten(0, 1)

    def read(self, values: Tensor) -> Tensor:
        """B Cv h w -> B Cv h w, the window-weighted mean of `values` (which live where the keys live)."""
        counted = torch.cat([values, torch.ones_like(values[:, :1])], 1)
        tiles = self.weights @ self._neighbourhoods(counted).transpose(2, 3)  # B n t*t Cv+1
        tiles = tiles[..., :-1] / tiles[..., -1:].clamp_min(torch.finfo(tiles.dtype).tiny)
        tiles = tiles.unflatten(2, (self.tile, self.tile)).unflatten(1, self.grid)  # B gy gx t t Cv
        maps = tiles.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
        return maps[..., : self.size[0], : self.size[1]]
