"""Hungarian matching of learnable queries to objects (Mask2Former, section 3.2; UniVS matches whole clips).

Shapes: B clips, Q queries, G objects of a clip (padded), T frames, P points, K classes.
`unknown`: B T H W bool, pixels of which nothing is known (255 in label maps) and that weigh nothing; None: no pixel.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from univs.losses.point_sampling import beside_unknown, sample_points

Pairs = tuple[Tensor, Tensor, Tensor]
"""Clips, queries and objects of M pairs, as `match` gives them."""
CLASS_COST = 3.0
"""Weight of the class in the matching."""


@torch.no_grad()
def mask_costs(logits: Tensor, targets: Tensor, points: Tensor, unknown: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Pairwise mask costs at shared points.

    Args:
        logits: B Q T h w.
        targets: B G T H W in 0..1.
        points: B P 2, shared by all queries, objects and frames of a clip.
    Returns:
        binary cross-entropy and dice cost, B Q G each, over the T*P values of a query, as far as they are known.
    """
    p, g = (
        sample_points(maps.flatten(1, 2).float(), points).unflatten(1, maps.shape[1:3]).flatten(2)
        for maps in (logits, targets)
    )
    counted = torch.ones_like(p[:, :1])
    if unknown is not None:
        counted = 1 - beside_unknown(unknown, points).flatten(1)[:, None].to(p.dtype)
    with torch.autocast(p.device.type, enabled=False):
        total = counted.sum(2, keepdim=True).clamp_min(1)
        there, away = g * counted, (1 - g) * counted
        cross_entropy = (F.softplus(-p) @ there.mT + F.softplus(p) @ away.mT) / total
        probability, g = p.sigmoid() * counted, there
        dice = 1 - (2 * probability @ g.mT + 1) / (probability.sum(2)[:, :, None] + g.sum(2)[:, None] + 1)
    return cross_entropy, dice


@torch.no_grad()
def class_cost(class_logits: Tensor, labels: Tensor) -> Tensor:
    """``-softmax(5 sigmoid(logit))`` at the target label: B Q K, B G -> B Q G (UniVS matcher)."""
    cost = -(5 * class_logits.float().sigmoid()).softmax(-1)
    return cost.gather(2, labels[:, None].expand(-1, cost.shape[1], -1))


@torch.no_grad()
def pair_costs(
    logits: Tensor,
    targets: Tensor,
    points: Tensor,
    class_logits: Tensor | None = None,
    labels: Tensor | None = None,
    unknown: Tensor | None = None,
    *,
    mask_weight: float = 5.0,
    dice_weight: float = 5.0,
    class_weight: float = CLASS_COST,
) -> Tensor:
    """What it costs that a query answers for an object: arguments as in `match` -> B Q G."""
    cross_entropy, dice = mask_costs(logits, targets, points, unknown)
    cost = mask_weight * cross_entropy + dice_weight * dice
    if class_logits is not None and labels is not None:
        cost = cost + class_weight * class_cost(class_logits, labels)
    return cost


def match(
    logits: Tensor,
    targets: Tensor,
    present: Tensor,
    points: Tensor,
    class_logits: Tensor | None = None,
    labels: Tensor | None = None,
    unknown: Tensor | None = None,
    **weights: float,
) -> Pairs:
    """The cheapest one-to-one assignment of queries to objects by their masks and classes, clip by clip.

    Args:
        logits: B Q T h w mask logits; targets: B G T H W; present: B G bool, False for padding; points: B P 2 in 0..1.
        class_logits: B Q K and labels: B G, or None where the data has no categories (class cost 0).
        weights: of `pair_costs`.
    Returns:
        clips, queries and objects of all pairs: min(Q, objects) of each clip, clips and then queries ascending.
    """
    return assign(pair_costs(logits, targets, points, class_logits, labels, unknown, **weights), present)


def assign(cost: Tensor, present: Tensor) -> Pairs:
    """The cheapest one-to-one assignment, as `match` gives it: costs B Q G, present B G bool. The device is waited for
    once."""
    costs, there = cost.cpu().numpy(), present.cpu().numpy()
    pairs = [np.zeros((3, 0), np.int64)]
    for clip, (of_clip, objects) in enumerate(zip(costs, there, strict=True)):
        known = np.flatnonzero(objects)
        rows, columns = linear_sum_assignment(of_clip[:, known])
        pairs.append(np.stack([np.full_like(rows, clip), rows, known[columns]]))
    clips, queries, chosen = torch.from_numpy(np.concatenate(pairs, 1)).to(cost.device)
    return clips, queries, chosen
