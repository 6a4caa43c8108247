"""Who owns a pixel, and which masks are believed, when objects are followed by clips: free functions.

Shapes: N objects, H' W' padded input; a clip is a sequence of T frames. Source: the released inference of UniVS.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def holds_its_ground(frames: Iterable[Tensor], weights: Tensor, share: float) -> Tensor:
    """N bool: entities that win more than `share` of what they claim.

    Of the pixels that anybody claims (probability 0.5 or more), each goes to the entity with the largest weight times
    probability.

    Args:
        frames: N H W mask logits of each frame of the clip, whole or in pieces.
        weights: N.
    Returns:
        True for entities whose pixels, over all frames, are more than `share` of those that they are sure of
        (probability above 0.5), and who are sure of at least one of them.
    """
    count = len(weights)
    won, claimed, surely_won = (torch.zeros(count, dtype=torch.long, device=weights.device) for _ in range(3))
    for logits in frames:
        probability = logits.flatten(1).sigmoid()
        anybody = (probability >= 0.5).any(0)
        winner = (probability * weights[:, None]).argmax(0)
        sure = probability > 0.5
        claimed += sure.sum(1)
        won += torch.bincount(winner[anybody], minlength=count)
        surely = sure.gather(0, winner[None])[0]
        surely_won += torch.bincount(winner[surely], minlength=count)
    return (won / claimed.clamp_min(1) > share) & (surely_won > 0)
