"""Position embeddings in x and y: sines, and the place as waves.

Channels 2k and 2k+1 of a coordinate v over n channels are sin and cos of v / 10000^(2k/n) (Attention is all you need;
normalised 2-D form of DETR and Mask2Former). x and y take one half of the channels each, y first.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


def sine(value: Tensor, channels: int) -> Tensor:
    """Embed coordinates (radians) of any shape S: S -> S x channels."""
    step = torch.arange(channels // 2, dtype=torch.float32, device=value.device)
    phase = value.unsqueeze(-1) / 10000 ** (2 * step / channels)
    return torch.stack([phase.sin(), phase.cos()], dim=-1).flatten(-2)


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # what is cached may be used in training later
def map_embedding(height: int, width: int, dim: int, device: torch.device) -> Tensor:
    """2-D embedding of every cell of a map: height x width x dim. Cached: do not write into it."""
    y, x = (
        (torch.arange(size, dtype=torch.float32, device=device) + 1) / (size + 1e-6) * (2 * math.pi)
        for size in (height, width)
    )
    rows = sine(y, dim // 2)[:, None].expand(-1, width, -1)
    columns = sine(x, dim // 2)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=-1)


def bands(points: Tensor, count: int) -> Tensor:
    """Points ... x 2, (x, y) in 0..1, as 1, 2, 4, ... waves across the map in y and in x: ... x 4*count.

    A weighted sum of them over a map is a bump or a band at any place, and their mean over a region is the region's
    coarse shape: what mask embeddings need to tell apart objects that look alike.
    """
    frequency = 2 * math.pi * 2.0 ** torch.arange(count, device=points.device)
    x, y = (points.unsqueeze(-1) * frequency).unbind(-2)
    return torch.cat([y.sin(), y.cos(), x.sin(), x.cos()], dim=-1)


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # what is cached may be used in training later
def band_embedding(height: int, width: int, count: int, device: torch.device) -> Tensor:
    """`bands` of every cell centre of a map: height x width x 4*count. Cached: do not write into it."""
    y, x = ((torch.arange(n, device=device) + 0.5) / n for n in (height, width))
    return bands(torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], dim=-1), count)


def point_embedding(points: Tensor, dim: int) -> Tensor:
    """2-D embedding of points ... x 2, (x, y) in 0..1 of the padded input: ... x dim."""
    x, y = (points * (2 * math.pi)).unbind(-1)
    return torch.cat([sine(y, dim // 2), sine(x, dim // 2)], dim=-1)
