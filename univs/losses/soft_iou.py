"""Losses of slots that are compared with masks by their soft IoU, and which mask each slot is compared with.

RVOS (Ventura et al., CVPR 2019, section 3.3), as released.
Shapes: B videos, N slots and as many masks, P pixels of a mask.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from univs.losses.correspondence import mean_over
from univs.losses.counting import ALONE, Counting

EPSILON = 1e-6
"""Pixels that a union has beside its own."""
INVALID_COST = 10.0
"""Of a pair with a mask that nobody has."""


def soft_iou_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """``1 - sum(p g) / (sum(p + g - p g) + 1e-6)``: N P, N P -> N."""
    both = probabilities * targets
    return 1 - both.sum(1) / ((probabilities + targets - both).sum(1) + EPSILON)


def balanced_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Sigmoid cross-entropy, what there is more of weighing less: N P, N P of 0 and 1 -> N P.

    Weights are the share of the others among all pixels of all masks.
    """
    positive = targets.mean()
    weights = torch.where(targets > 0, 1 - positive, positive)
    return weights * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def mean_of_valid(losses: Tensor, valid: Tensor, counting: Counting = ALONE) -> Tensor:
    """The mean of the losses that are valid, of all where none is: B N, B N bool -> scalar."""
    if counting.total(valid.sum()) == 0:
        valid = torch.ones_like(valid)
    return mean_over(losses, valid, counting)


def slot_costs(probabilities: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """What it costs to compare each slot with each mask: B N P, B N P -> B N N, masks along the first N.

    The soft IoU loss; a pair whose mask or slot has a number that is not valid (B N bool) costs `INVALID_COST`, so that
    K masks find their slots among the first K.
    """
    both = targets @ probabilities.transpose(1, 2)
    union = targets.sum(2)[:, :, None] + probabilities.sum(2)[:, None] - both + EPSILON
    possible = valid[:, :, None] & valid[:, None]
    return torch.where(possible, 1 - both / union, INVALID_COST)


def slot_targets(costs: Tensor) -> Tensor:
    """Which mask each slot is compared with, for the least sum: B N N from `slot_costs` -> B N."""
    found = []
    for matrix in costs.detach().float().cpu().numpy():
        masks, slots = linear_sum_assignment(matrix)
        found.append(masks[np.argsort(slots)])
    return torch.from_numpy(np.stack(found)).to(costs.device)


def permuted(masks: Tensor, order: Tensor) -> Tensor:
    """Masks B N ... in the order of B N numbers from `slot_targets`: row n is the mask of slot n."""
    return masks[torch.arange(len(masks), device=masks.device)[:, None], order]
