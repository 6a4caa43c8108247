"""Who owns a pixel, and which masks are believed, when objects are followed by clips: free functions.

Shapes: N objects, H' W' padded input; a clip is a sequence of T frames. Source: the released inference of UniVS.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LARGE = 96**2
"""Pixels from which a given mask must be met as well as any (the large objects of COCO)."""


def competed(clip: Sequence[Tensor], weights: Tensor, certain: Sequence[Tensor] | None = None) -> list[Tensor]:
    """Give each pixel to the object with the largest weight times probability.

    Args:
        clip: N H' W' mask logits of each frame.
        weights: N.
        certain: N H' W' bool of each frame, where the probability counts as 1.
    Returns:
        The same with 0 outside an object's own pixels. Where no logit is positive the pixel is nobody's.
    """
    own = []
    for place, logits in enumerate(clip):
        probability = logits.sigmoid()
        if certain is not None:
            probability = probability.masked_fill(certain[place], 1.0)
        winner = (probability * weights[:, None, None]).argmax(0)
        winner = winner.masked_fill((logits <= 0).all(0), len(logits))
        mine = winner == torch.arange(len(logits), device=logits.device)[:, None, None]
        own.append(logits * mine)
    return own


def areas(clip: Sequence[Tensor]) -> Tensor:
    """N H' W' mask logits of each frame -> N pixels inside the masks, over all frames."""
    return torch.stack([(logits > 0).sum((1, 2)) for logits in clip]).sum(0)


def overlap(masks: Tensor, others: Tensor) -> Tensor:
    """N H' W' bool each -> N intersections over unions, 0 where both are empty."""
    both, either = (masks & others).sum((1, 2)), (masks | others).sum((1, 2))
    return both / either.clamp_min(1)


def meets(overlaps: Tensor, given_areas: Tensor, share: float) -> Tensor:
    """N bool: whether a prediction overlaps its given mask enough; a small mask needs less, by its area."""
    return overlaps > share * (given_areas / LARGE).clamp_max(1)
