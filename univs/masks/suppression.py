"""Which of several detections of one thing stay: suppression by boxes and by masks, best first.

Shapes: N M detections, T frames, h w map size. Detections come sorted by score, the best first.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Rule = Literal["any_better", "kept"]
"""Who suppresses: any better detection, itself suppressed or not (official), or only those that stay (the usual)."""


def boxes_of(masks: Tensor) -> Tensor:
    """... h w bool -> ... 4: first column, first row, last column, last row inside; zeros where nothing is."""
    boxes = []
    for dim, size in ((-2, masks.shape[-1]), (-1, masks.shape[-2])):  # columns, then rows
        hit = masks.any(dim).to(torch.uint8)
        low, high = hit.argmax(-1), size - 1 - hit.flip(-1).argmax(-1)
        boxes += [low, high * hit.any(-1)]
    left, right, top, bottom = boxes
    return torch.stack([left, top, right, bottom], dim=-1).float()


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """N T 4 and M T 4 xyxy boxes -> N M T; 0 where both are empty."""
    low = torch.maximum(first[:, None, :, :2], second[None, :, :, :2])
    high = torch.minimum(first[:, None, :, 2:], second[None, :, :, 2:])
    shared = (high - low).clamp_min(0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (first, second)]
    return shared / (areas[0][:, None] + areas[1][None] - shared).clamp_min(1e-6)


def mask_iou(first: Tensor, second: Tensor) -> Tensor:
    """N h w and M h w bool masks of one frame -> N M; 0 where both are empty."""
    a, b = first.flatten(1).float(), second.flatten(1).float()
    shared = a @ b.T
    union = a.sum(1)[:, None] + b.sum(1)[None] - shared
    return shared / union.clamp_min(1)


def suppress(overlap: Tensor, threshold: float, rule: Rule = "kept") -> Tensor:
    """N bool, which detections stay.

    Args:
        overlap: N N of detections sorted by score.
        threshold: a detection falls to a better one that it overlaps as much as this or more.
        rule: whose rule.
    """
    hit = (overlap >= threshold).triu(1)  # row: the better one
    if rule == "any_better":
        return ~hit.any(0)
    keep = torch.ones(len(hit), dtype=torch.bool, device=hit.device)
    for index in range(len(hit)):
        if keep[index]:
            keep &= ~hit[index]
    return keep
