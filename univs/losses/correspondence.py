"""Correspondence loss: true masks carried through the memory's affinities must be the true masks.

It teaches the keys what to match, before any decoder can use the answer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from univs.losses.counting import ALONE, Counting


def correspondence_loss(
    carried: Tensor, truth: Tensor, valid: Tensor, known: Tensor, counting: Counting = ALONE
) -> Tensor:
    """Binary cross-entropy between carried and true masks.

    Args:
        carried: B N P, true masks of other frames carried through an affinity to P places, in 0..1.
        truth: B N P, true (area-averaged) masks of this frame, in 0..1.
        valid: B N bool, the rows that count.
        known: B P bool, the places that count.
        counting: of the rows.
    Returns:
        scalar, mean over the places (of each clip) and the rows; 0 without any.
    """
    p = carried.float().clamp(1e-4, 1 - 1e-4)
    loss = -(truth * torch.log(p) + (1 - truth) * torch.log1p(-p))
    counted = known[:, None]
    return mean_over(torch.where(counted, loss, 0).sum(-1) / counted.sum(-1).clamp_min(1), valid, counting)


def mean_over(values: Tensor, valid: Tensor, counting: Counting = ALONE) -> Tensor:
    """Mean of the values where `valid` (bool, same shape) holds, 0 where it never does; waits for no device."""
    return torch.where(valid, values, 0).sum() / counting.share(valid.sum())
