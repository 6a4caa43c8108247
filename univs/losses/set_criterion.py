"""The set criterion: learnable queries are matched to objects, prompt queries are supervised directly (UniVS, 3.4).

Shapes: Q learnable queries, N prompt queries, G objects, T frames, K classes, P points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.losses.masks import binary_cross_entropy, dice_loss
from univs.losses.matcher import match
from univs.losses.point_sampling import sample_points, uncertain_points


@dataclass(frozen=True)
class CriterionWeights:
    """Weights of the terms and how many points a mask is sampled at."""

    classes: float = 5.0
    mask: float = 5.0
    dice: float = 5.0
    points: int = 12544


def focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.5, gamma: float = 2.0) -> Tensor:
    """Sum of ``-alpha (1 - p_t)^gamma log p_t`` over all entries (RetinaNet, eq. 5; one alpha for both sides)."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    right = torch.exp(-cross_entropy)
    return (alpha * (1 - right) ** gamma * cross_entropy).sum()


def point_mask_losses(logits: Tensor, targets: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Mask losses of rows at uncertain points: R h w logits and R H W targets -> cross-entropy and dice, R each."""
    where = uncertain_points(logits, points)
    predicted = sample_points(logits, where)
    with torch.no_grad():
        wanted = sample_points(targets.to(predicted.dtype), where)
    return binary_cross_entropy(predicted, wanted), dice_loss(predicted, wanted)


def set_losses(
    mask_logits: Tensor,
    targets: Sequence[Tensor],
    weights: CriterionWeights,
    class_logits: Tensor | None = None,
    labels: Sequence[Tensor] | None = None,
) -> dict[str, Tensor]:
    """Losses of one prediction of the learnable queries.

    Args:
        mask_logits: B Q T h w.
        targets: per clip G T H W in 0..1; clips may have different numbers of objects, 0 too.
        class_logits: B Q K and labels (per clip G class indices), or None where there are no categories.
    Returns:
        unweighted `mask`, `dice` (normalised by objects and frames) and `class` (0 without categories).
    """
    zero = mask_logits.sum() * 0
    cross_entropy, dice, classes = zero, zero, zero
    objects = max(1, sum(len(g) for g in targets))
    matched_total = sum(min(len(g), mask_logits.shape[1]) for g in targets)
    frames = mask_logits.shape[2]
    for clip, goal in enumerate(targets):
        scores = None if class_logits is None else class_logits[clip]
        names = None if labels is None else labels[clip]
        shared = torch.rand(1, weights.points, 2, device=mask_logits.device)
        queries, chosen = match(mask_logits[clip], goal, shared, scores, names)
        if len(queries):
            rows, wanted = mask_logits[clip, queries].flatten(0, 1), goal[chosen].flatten(0, 1)
            row_cross_entropy, row_dice = point_mask_losses(rows, wanted, weights.points)
            cross_entropy, dice = cross_entropy + row_cross_entropy.sum(), dice + row_dice.sum()
        if scores is not None and names is not None:
            hot = torch.zeros_like(scores)
            hot[queries, names[chosen]] = 1
            loss = focal_loss(scores, hot) / max(1, len(queries))
            if len(queries):
                loss = loss + F.cross_entropy(scores[queries], names[chosen])
                loss = loss * (len(queries) / matched_total)
            elif matched_total:
                loss = loss * 0
            classes = classes + loss
    return {"mask": cross_entropy / (objects * frames), "dice": dice / (objects * frames), "class": classes}


def prompt_losses(mask_logits: Tensor, targets: Tensor, valid: Tensor, points: int) -> dict[str, Tensor]:
    """Losses of one prediction of the prompt queries: each answers for the object it was prompted with.

    Args:
        mask_logits: B N T h w; targets: B N T H W in 0..1; valid: B N, False for padding rows, which are skipped.
    Returns:
        unweighted `mask` and `dice`, normalised by valid prompts and frames.
    """
    if not bool(valid.any()):
        zero = mask_logits.sum() * 0
        return {"mask": zero, "dice": zero}
    rows = mask_logits[valid].flatten(0, 1)
    cross_entropy, dice = point_mask_losses(rows, targets[valid].flatten(0, 1), points)
    return {"mask": cross_entropy.mean(), "dice": dice.mean()}
