"""Correspondence loss: true masks carried through the memory's affinities must be the true masks.

It teaches the keys what to match, before any decoder can use the answer.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def correspondence_loss(carried: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy between carried and true masks.

    Args:
        carried: B N ..., true masks of other frames carried through an affinity, in 0..1.
        truth: B N ..., true (area-averaged) masks of this frame, in 0..1.
    Returns:
        scalar mean.
    """
    return F.binary_cross_entropy(carried.clamp(1e-4, 1 - 1e-4), truth)
