"""Where the objects meet: soft aggregation of their mask logits.

Shapes: N objects, h w any map size.
"""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-7
"""Given masks are probabilities this far from 0 and 1, as in STM."""


def soft_aggregate(logits: Tensor) -> Tensor:
    """Odds of background and objects against each other (STM, section 3.3).

    The background's probability is that of no object being there, prod(1 - p_n); the odds p / (1 - p) of all
    N + 1 are what competes.

    Args:
        logits: ... N h w, of each object on its own.
    Returns:
        ... N+1 h w log-odds, background first. Their soft-max over N + 1 is the joint probability.
    """
    absent = torch.nn.functional.logsigmoid(-logits).sum(-3, keepdim=True)  # log prod(1 - p)
    present = torch.log(-torch.expm1(absent.clamp_max(-1e-30)))  # log(1 - prod(1 - p)), finite for any logits
    return torch.cat([absent - present, logits], dim=-3)


def to_logits(masks: Tensor) -> Tensor:
    """Shares 0..1 of given masks -> logits."""
    return torch.logit(masks, eps=EPSILON)
