"""Sampling maps at points (PointRend, section 3.1): coordinates are (x, y) in [0, 1] of the map, zeros outside."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.models.draws import Draws


def sample_points(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values of maps at points.

    Args:
        maps: N C H W (or N H W).
        points: N P 2 (or 1 P 2, the same for all), (x, y) in [0, 1]; pixel centres lie at (i + 0.5) / size.
    Returns:
        N C P (or N P).
    """
    single = maps.dim() == 3
    if single:
        maps = maps.unsqueeze(1)
    grid = 2 * points.expand(maps.shape[0], -1, -1).unsqueeze(2) - 1
    values = F.grid_sample(maps, grid, align_corners=False).squeeze(3)
    return values.squeeze(1) if single else values


def beside_unknown(unknown: Tensor, points: Tensor) -> Tensor:
    """Whether the value of a map at a point is made of any pixel that is unknown: N C H W (or N H W) bool -> bool."""
    return sample_points(unknown.float(), points) > 0


def uncertain_points(
    logits: Tensor,
    count: int,
    oversample: float = 3.0,
    importance: float = 0.5,
    draws: Draws | None = None,
) -> Tensor:
    """Points to supervise: the least certain of many uniform ones, and fresh uniform ones.

    Args:
        logits: N H W mask logits; their absolute value is the certainty.
        count: points per mask.
        oversample: how many uniform points compete, as a multiple of `count`.
        importance: share of the least certain ones.
        draws: uniform numbers N (oversample * count) 2, then N (count - least certain ones) 2; None: those of torch.
    Returns:
        N count 2 in [0, 1], without gradient.
    """
    rows, device = logits.shape[0], logits.device
    with torch.no_grad():
        drawn = random_points(rows, int(count * oversample), device, draws)
        certainty = sample_points(logits, drawn).abs()
        kept = int(importance * count)
        best = certainty.topk(kept, dim=1, largest=False).indices
        chosen = drawn.gather(1, best.unsqueeze(-1).expand(-1, -1, 2))
        fresh = random_points(rows, count - kept, device, draws)
        return torch.cat([chosen, fresh], dim=1)


def random_points(rows: int, count: int, device: torch.device, draws: Draws | None) -> Tensor:
    """Uniform points in [0, 1]: `rows` x `count` x 2, from `draws` or from torch's own generator of the device."""
    if draws is None:
        return torch.rand(rows, count, 2, device=device)
    return draws.uniform(rows, count, 2).to(device)
