"""Hungarian matching of learnable queries to objects (Mask2Former, section 3.2; UniVS matches whole clips)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from univs.losses.point_sampling import sample_points


@torch.no_grad()
def mask_costs(logits: Tensor, targets: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Pairwise mask costs at shared points.

    Args:
        logits: Q T h w.
        targets: G T H W in 0..1.
        points: 1 P 2, shared by all queries, objects and frames.
    Returns:
        binary cross-entropy and dice cost, Q G each, over the T*P values of a query.
    """
    p = sample_points(logits, points).flatten(1).float()
    g = sample_points(targets.to(p.dtype), points).flatten(1)
    count = p.shape[1]
    positive, negative = F.softplus(-p), F.softplus(p)
    cross_entropy = (positive @ g.T + negative @ (1 - g).T) / count
    probability = p.sigmoid()
    dice = 1 - (2 * probability @ g.T + 1) / (probability.sum(1)[:, None] + g.sum(1)[None] + 1)
    return cross_entropy, dice


@torch.no_grad()
def class_cost(class_logits: Tensor, labels: Tensor) -> Tensor:
    """``-softmax(5 sigmoid(logit))`` at the target label: Q K, G -> Q G (UniVS matcher)."""
    return -(5 * class_logits.float().sigmoid()).softmax(-1)[:, labels]


def match(
    logits: Tensor,
    targets: Tensor,
    points: Tensor,
    class_logits: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    mask_weight: float = 5.0,
    dice_weight: float = 5.0,
    class_weight: float = 3.0,
) -> tuple[Tensor, Tensor]:
    """The cheapest one-to-one assignment of queries to objects.

    Args:
        logits: Q T h w mask logits; targets: G T H W; points: 1 P 2 in [0, 1].
        class_logits: Q K and labels: G, or None where the data has no categories (class cost 0).
    Returns:
        query indices and object indices, min(Q, G) each, queries ascending.
    """
    cross_entropy, dice = mask_costs(logits, targets, points)
    cost = mask_weight * cross_entropy + dice_weight * dice
    if class_logits is not None and labels is not None:
        cost = cost + class_weight * class_cost(class_logits, labels)
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    device = logits.device
    return torch.as_tensor(rows, device=device), torch.as_tensor(columns, device=device)
