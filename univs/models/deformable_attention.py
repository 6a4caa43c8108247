"""Multi-scale deformable attention (Deformable DETR, eq. 3) in plain torch.

Shapes: F frames, S = sum of h_l*w_l cells of all levels, Q queries, M heads, G levels, P points, D channels per head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

QUERIES = 2048
"""So many queries read the maps at a time."""


def sample_and_sum(value: Tensor, sizes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of bilinear samples (zeros outside, cell centres at (i + 0.5) / size).

    Args:
        value: F S M D, the levels one after the other, row-major.
        sizes: (h, w) of the G levels.
        locations: F Q M G P 2, (x, y) in 0..1 of the map.
        weights: F Q M G P.
    Returns:
        F Q M*D.
    """
    return (_by_rows if value.device.type == "cpu" else _by_maps)(value, sizes, locations, weights)


def _by_maps(value: Tensor, sizes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """Sample the map of each head and level, then sum."""
    frames, _, heads, channels = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    grids = (2 * locations - 1).permute(0, 2, 3, 1, 4, 5).flatten(0, 1)  # F*M G Q P 2
    sampled = []
    for level, part in enumerate(value.split([h * w for h, w in sizes], dim=1)):
        maps = part.permute(0, 2, 3, 1).reshape(frames * heads, channels, *sizes[level])
        sampled.append(F.grid_sample(maps, grids[:, level], padding_mode="zeros", align_corners=False))
    samples = torch.stack(sampled, dim=3).flatten(3)  # F*M D Q G*P
    shares = weights.transpose(1, 2).reshape(frames * heads, 1, queries, len(sizes) * points)
    return (samples * shares).sum(-1).reshape(frames, heads * channels, queries).transpose(1, 2)


def _by_rows(value: Tensor, sizes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """Sum the D-vectors of the four cells around each place straight from memory: about four times as fast on a CPU.

    The maps get a border of zeros, and places outside are moved into it.
    """
    parts = value.split([h * w for h, w in sizes], dim=1)
    bordered = [F.pad(x.unflatten(1, size), (0, 0, 0, 0, 1, 2, 1, 2)) for x, size in zip(parts, sizes, strict=True)]
    table = torch.cat([x.flatten(1, 2) for x in bordered], dim=1)  # F S' M D
    # the addresses of all queries together would take more memory than anything else that a frame needs
    groups = zip(locations.split(QUERIES, dim=1), weights.split(QUERIES, dim=1), strict=True)
    return torch.cat([_rows_of(table, sizes, *group) for group in groups], dim=1)


def _rows_of(table: Tensor, sizes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """What some queries read of the bordered maps, F S' M D."""
    frames, _, heads, channels = table.shape
    queries, device = locations.shape[1], table.device
    limit = torch.tensor([(w, h) for h, w in sizes], dtype=locations.dtype, device=device)[:, None]  # G 1 2
    place = torch.clamp(locations * limit + 0.5, torch.zeros_like(limit), limit + 1)
    cell = place.detach().to(torch.int32)
    part = place - cell
    # rows of the table: ((frame * S' + cell) * M + head), S' the cells of all levels with their borders
    across = torch.tensor([w + 3 for _, w in sizes], dtype=torch.int32, device=device)[:, None]
    area = torch.tensor([(h + 3) * (w + 3) for h, w in sizes], dtype=torch.int32, device=device)[:, None]
    start = area.cumsum(0, dtype=torch.int32) - area  # G 1
    frame = torch.arange(frames, dtype=torch.int32, device=device).view(-1, 1, 1, 1, 1) * table.shape[1]
    head = torch.arange(heads, dtype=torch.int32, device=device).view(-1, 1, 1)
    first = (torch.addcmul(cell[..., 0], cell[..., 1], across) + (frame + start)) * heads + head
    corners = torch.stack([torch.zeros_like(across), torch.ones_like(across), across, across + 1], dim=-1) * heads
    rows = first[..., None] + corners  # F Q M G P 4
    sides = torch.stack([1 - part, part], dim=-1)  # F Q M G P (x, y) 2
    shares = (weights[..., None] * sides[..., 1, :])[..., None] * sides[..., 0, None, :]
    bags = frames * queries * heads
    out = F.embedding_bag(
        rows.view(bags, -1), table.reshape(-1, channels), mode="sum", per_sample_weights=shares.reshape(bags, -1)
    )
    return out.view(frames, queries, heads * channels)


class DeformableAttention(nn.Module):
    """Each query looks at a few learned places per head and level around its reference point.

    Args:
        dim: channels C = M*D.
        heads, levels, points: M, G, P.
    """

    def __init__(self, dim: int, heads: int, levels: int, points: int) -> None:
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.sampling_offsets = nn.Linear(dim, heads * levels * points * 2)
        self.attention_weights = nn.Linear(dim, heads * levels * points)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)
        nn.init.zeros_(self.sampling_offsets.weight)
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(self._initial_offsets())

    def _initial_offsets(self) -> Tensor:
        """Head m starts looking in direction 2*pi*m/M, point p at distance p + 1 (maximum norm)."""
        angle = torch.arange(self.heads) * (2 * math.pi / self.heads)
        direction = torch.stack([angle.cos(), angle.sin()], dim=-1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        distance = torch.arange(self.points) + 1.0
        offsets = direction[:, None, None] * distance[:, None]  # M 1 P 2
        return offsets.expand(-1, self.levels, -1, -1).flatten()

    def forward(self, query: Tensor, references: Tensor, value: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """Attend.

        Args:
            query: F Q C.
            references: Q 2, (x, y) in 0..1 of the map.
            value: F S C.
            sizes: (h, w) of the levels.
        Returns:
            F Q C.
        """
        shape = (self.heads, self.levels, self.points)
        offsets = self.sampling_offsets(query).unflatten(-1, (*shape, 2))
        scale = torch.tensor([(w, h) for h, w in sizes], dtype=query.dtype, device=query.device)
        locations = references[:, None, None, None] + offsets / scale[:, None]
        weights = self.attention_weights(query).unflatten(-1, (self.heads, -1)).softmax(-1).unflatten(-1, shape[1:])
        values = self.value_proj(value).unflatten(-1, (self.heads, -1))
        return self.output_proj(sample_and_sum(values, sizes, locations, weights))
