"""The set criterion: learnable queries are matched to objects, prompt queries are supervised directly (UniVS, 3.4).

Shapes: L predictions, B clips, Q learnable queries, N prompt queries, G objects, T frames, K classes, P points.
`unknown`: B T H W bool, pixels of which nothing is known (255 in label maps) and that weigh nothing; None: no pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.losses.masks import binary_cross_entropy, dice_loss
from univs.losses.matcher import match
from univs.losses.point_sampling import beside_unknown, sample_points, uncertain_points


@dataclass(frozen=True)
class CriterionWeights:
    """Weights of the terms and how many points a mask is sampled at."""

    classes: float = 5.0
    mask: float = 5.0
    dice: float = 5.0
    points: int = 12544


def focal_losses(logits: Tensor, targets: Tensor, alpha: float = 0.5, gamma: float = 2.0) -> Tensor:
    """``-alpha (1 - p_t)^gamma log p_t`` of every entry (RetinaNet, eq. 5; one alpha for both sides)."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    right = torch.exp(-cross_entropy)
    return alpha * (1 - right) ** gamma * cross_entropy


def point_mask_losses(
    logits: Tensor, targets: Tensor, points: int, unknown: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mask losses of rows at uncertain points: R h w logits, R H W targets -> cross-entropy and dice, R each.

    Points beside a pixel of `unknown` (R H W bool) weigh nothing.
    """
    where = uncertain_points(logits, points)
    predicted = sample_points(logits, where)
    with torch.no_grad():
        wanted = sample_points(targets.to(predicted.dtype), where)
        counted = None if unknown is None else ~beside_unknown(unknown, where)
    return binary_cross_entropy(predicted, wanted, counted), dice_loss(predicted, wanted, counted)


def set_losses(
    mask_logits: Tensor,
    targets: Tensor,
    present: Tensor,
    weights: CriterionWeights,
    class_logits: Tensor | None = None,
    labels: Tensor | None = None,
    unknown: Tensor | None = None,
) -> dict[str, Tensor]:
    """Losses of L predictions of the learnable queries (one for each layer of the decoder, say), matched each anew.

    Args:
        mask_logits: L B Q T h w.
        targets: B G T H W in 0..1; present: B G bool, False for padding. Clips without any object count too.
        class_logits: L B Q K and labels: B G class indices (any where padded), or None where there are no categories.
    Returns:
        unweighted `mask`, `dice` (normalised by objects and frames) and `class` (0 without categories), L each.
    """
    layers, clips, count, frames = mask_logits.shape[:4]
    many, masks = mask_logits.flatten(0, 1), targets.repeat(layers, 1, 1, 1, 1)
    there = present.repeat(layers, 1)
    scores = None if class_logits is None else class_logits.flatten(0, 1)
    names = None if labels is None else labels.repeat(layers, 1)
    shared = torch.rand(len(many), weights.points, 2, device=many.device)
    hidden = None if unknown is None else unknown.repeat(layers, 1, 1, 1)
    clip, query, chosen = match(many, masks, there, shared, scores, names, hidden)
    layer = clip // clips

    def per_layer(values: Tensor) -> Tensor:
        return values.new_zeros(layers).index_add(0, layer, values)

    zero = mask_logits.flatten(1).sum(1) * 0
    objects = present.sum().clamp_min(1)
    losses = {"mask": zero, "dice": zero, "class": zero}
    if len(clip):
        rows, wanted = many[clip, query].flatten(0, 1), masks[clip, chosen].flatten(0, 1)
        beside = None if hidden is None else hidden[clip].flatten(0, 1)
        found = point_mask_losses(rows, wanted, weights.points, beside)
        for name, values in zip(("mask", "dice"), found, strict=True):
            losses[name] = per_layer(values.float().unflatten(0, (-1, frames)).sum(1)) / (objects * frames)
    if scores is not None and names is not None:
        hot = torch.zeros_like(scores)
        hot[clip, query, names[clip, chosen]] = 1
        apart = focal_losses(scores, hot).unflatten(0, (layers, clips)).flatten(2).sum(2)
        matched = present.sum(1).clamp_max(count)
        # a clip weighs as many as it has pairs; where no clip has any, all count
        total = matched.sum()
        losses["class"] = torch.where(total > 0, torch.where(matched > 0, apart, 0) / total.clamp_min(1), apart).sum(1)
        if len(clip):
            choice = F.cross_entropy(scores[clip, query].float(), names[clip, chosen], reduction="none")
            losses["class"] = losses["class"] + per_layer(choice) / total.clamp_min(1)
    return losses


def prompt_losses(
    mask_logits: Tensor, targets: Tensor, valid: Tensor, points: int, unknown: Tensor | None = None
) -> dict[str, Tensor]:
    """Losses of L predictions of the prompt queries: each answers for the object it was prompted with.

    Args:
        mask_logits: L B N T h w; targets: B N T H W in 0..1; valid: B N, False for padding rows, which do not count.
    Returns:
        unweighted `mask` and `dice`, L each, normalised by valid prompts and frames; 0 where there are none.
    """
    layers, frames = mask_logits.shape[0], mask_logits.shape[3]
    wanted = targets.flatten(0, 2).repeat(layers, 1, 1)
    counted = valid.flatten().repeat_interleave(frames)
    beside = None
    if unknown is not None:  # the same for all prompts of a clip
        beside = unknown[:, None].expand_as(targets).flatten(0, 2).repeat(layers, 1, 1)
    found = point_mask_losses(mask_logits.flatten(0, 3), wanted, points, beside)
    cross_entropy, dice = (
        torch.where(counted, values.unflatten(0, (layers, -1)), 0).sum(1) / counted.sum().clamp_min(1)
        for values in found
    )
    return {"mask": cross_entropy, "dice": dice}
