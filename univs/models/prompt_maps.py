"""Prompts as rough maps at a quarter of the padded input: where the object is said to be, and where not.

Coordinates are pixels of the padded input. N objects, P points, h w = H/4 W/4.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.masks.geometry import MASK_STRIDE

CLICK_RADIUS = 8.0
"""Pixels around a click that it speaks for."""


def box_maps(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes N 4 xyxy -> N 2 h w: ones inside; everything outside is said not to be the object."""
    y, x = ((torch.arange(n, device=boxes.device) + 0.5) * MASK_STRIDE for n in size)
    in_x = (x >= boxes[:, :1]) & (x <= boxes[:, 2:3])
    in_y = (y >= boxes[:, 1:2]) & (y <= boxes[:, 3:])
    inside = (in_y[:, :, None] & in_x[:, None]).float()
    return torch.stack([inside, 1 - inside], dim=1)


def point_maps(points: Tensor, labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Clicks N P 2 (x, y) with labels N P (1 positive, 0 negative, -1 padding) -> N 2 h w: discs of each sign."""
    y, x = ((torch.arange(n, device=points.device) + 0.5) * MASK_STRIDE for n in size)
    distance = (x - points[..., :1])[:, :, None].square() + (y - points[..., 1:])[..., None].square()  # N P h w
    near = distance <= CLICK_RADIUS**2
    return torch.stack([(near & (labels == sign)[..., None, None]).any(1).float() for sign in (1, 0)], dim=1)


def stroke_maps(strokes: Tensor) -> Tensor:
    """Rasterised scribbles N H W (0 or 1) -> N 2 h w: every cell that a stroke touches."""
    touched = F.max_pool2d(strokes.float()[:, None], MASK_STRIDE)
    return torch.cat([touched, torch.zeros_like(touched)], dim=1)
