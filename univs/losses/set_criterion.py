"""The set criterion: learnable queries are matched to objects, prompt queries are supervised directly (UniVS, 3.4).

Shapes: L predictions, B clips, Q learnable queries, N prompt queries, G objects, T frames, K classes, P points.
`unknown`: B T H W bool, pixels of which nothing is known (255 in label maps) and that weigh nothing; None: no pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.losses.counting import ALONE, Counting
from univs.losses.masks import binary_cross_entropy, dice_loss
from univs.losses.matcher import CLASS_COST, Pairs, assign, class_cost
from univs.losses.point_sampling import beside_unknown, random_points, sample_points, uncertain_points
from univs.losses.supervision import Targets
from univs.models.draws import Draws


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


def class_losses(
    class_logits: Tensor, clip: Tensor, query: Tensor, names: Tensor, counting: Counting = ALONE
) -> Tensor:
    """Focal loss of all queries and classes, and soft-max cross-entropy of the queries that answer for an object.

    Args:
        class_logits: L B Q K.
        clip, query, names: of M queries that answer for an object: which of the L*B clips, query, class of the object.
        counting: of these pairs.
    Returns:
        L, normalised by the pairs of a prediction. A clip weighs as many as it has pairs; where no clip of a prediction
        has any, all count.
    """
    layers, clips = class_logits.shape[:2]
    scores, layer = class_logits.flatten(0, 1), clip // clips
    hot = torch.zeros_like(scores)
    hot[clip, query, names] = 1
    apart = focal_losses(scores, hot).flatten(1).sum(1).unflatten(0, (layers, clips))
    matched = scores.new_zeros(layers * clips).index_add(0, clip, scores.new_ones(len(clip))).view_as(apart)
    total = matched.sum(1)
    everywhere = counting.total(total)
    nowhere, some = everywhere[:, None] == 0, everywhere.clamp_min(1) / counting.processes
    focal = (torch.where(nowhere | (matched > 0), apart, 0) / some[:, None]).sum(1)
    choice = F.cross_entropy(scores[clip, query].float(), names, reduction="none")
    return focal + choice.new_zeros(layers).index_add(0, layer, choice) / some


def matched_mask_losses(
    mask_logits: Tensor,
    targets: Tensor,
    pairs: Pairs,
    objects: Tensor | int,
    points: int,
    unknown: Tensor | None = None,
    draws: Draws | None = None,
) -> tuple[Tensor, Tensor]:
    """Mask losses of queries that answer for an object.

    Args:
        mask_logits: L B Q T h w; targets: B G T H W in 0..1.
        pairs: indices into the L*B clips, queries and objects (`match`).
        objects: how many the batch has.
        draws: of `uncertain_points`, for all pairs and frames at once.
    Returns:
        cross-entropy and dice, L each, normalised by objects and frames.
    """
    layers, clips, _, frames = mask_logits.shape[:4]
    clip, query, chosen = pairs
    if not len(clip):
        nothing = mask_logits.flatten(1).sum(1) * 0
        return nothing, nothing
    layer, of_batch = clip // clips, clip % clips
    rows, wanted = mask_logits.flatten(0, 1)[clip, query].flatten(0, 1), targets[of_batch, chosen].flatten(0, 1)
    beside = None if unknown is None else unknown[of_batch].flatten(0, 1)
    zeros = rows.new_zeros(layers, dtype=torch.float32)
    cross_entropy, dice = (
        zeros.index_add(0, layer, values.float().unflatten(0, (-1, frames)).sum(1)) / (objects * frames)
        for values in point_mask_losses(rows, wanted, points, beside, draws)
    )
    return cross_entropy, dice


def point_mask_losses(
    logits: Tensor, targets: Tensor, points: int, unknown: Tensor | None = None, draws: Draws | None = None
) -> tuple[Tensor, Tensor]:
    """Mask losses of rows at uncertain points: R h w logits, R H W targets -> cross-entropy and dice, R each.

    Points beside a pixel of `unknown` (R H W bool) weigh nothing.
    """
    where = uncertain_points(logits, points, draws=draws)
    predicted = sample_points(logits, where)
    with torch.no_grad():
        wanted = sample_points(targets.to(predicted.dtype), where)
        counted = None if unknown is None else ~beside_unknown(unknown, where)
    return binary_cross_entropy(predicted, wanted, counted), dice_loss(predicted, wanted, counted)


def set_losses(
    mask_logits: Tensor,
    targets: Targets,
    present: Tensor,
    points: int,
    class_logits: Tensor | None = None,
    labels: Tensor | None = None,
    counting: Counting = ALONE,
) -> dict[str, Tensor]:
    """Losses of L predictions of the learnable queries (one for each layer of the decoder, say), matched each anew.

    Args:
        mask_logits: L B Q T h w.
        targets: what masks are compared with.
        present: B G bool, False for padding. Clips without any object count too.
        points: of a clip, at which masks are compared in the matching.
        class_logits: L B Q K and labels: B G class indices (any where padded), or None where there are no categories.
        counting: of the objects.
    Returns:
        the terms of the targets, weighted, and unweighted `class` (0 without categories), L each.
    """
    layers, clips = mask_logits.shape[:2]
    many, there = mask_logits.flatten(0, 1), present.repeat(layers, 1)
    cost = targets.costs(many, random_points(len(many), points, many.device, None))
    if class_logits is not None and labels is not None:
        cost = cost + CLASS_COST * class_cost(class_logits.flatten(0, 1), labels.repeat(layers, 1))
    pairs = assign(cost, there)
    losses = targets.matched(mask_logits, pairs, counting.share(present.sum()))
    losses["class"] = mask_logits.flatten(1).sum(1) * 0
    if class_logits is not None and labels is not None:
        clip, query, chosen = pairs
        losses["class"] = class_losses(class_logits, clip, query, labels[clip % clips, chosen], counting)
    return losses


def prompt_losses(
    mask_logits: Tensor,
    targets: Tensor,
    valid: Tensor,
    points: int,
    unknown: Tensor | None = None,
    counting: Counting = ALONE,
) -> dict[str, Tensor]:
    """Losses of L predictions of the prompt queries: each answers for the object it was prompted with.

    Args:
        mask_logits: L B N T h w; targets: B N T H W in 0..1; valid: B N, False for padding rows, which do not count.
        counting: of the valid prompts.
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
    share = counting.share(counted.sum())
    cross_entropy, dice = (
        torch.where(counted, values.unflatten(0, (layers, -1)), 0).sum(1) / share for values in found
    )
    return {"mask": cross_entropy, "dice": dice}
