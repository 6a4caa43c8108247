"""Which entities hold their ground where they meet: a filter that decides, and cuts no mask.

Shapes: N entities, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


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
