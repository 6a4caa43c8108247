"""What a batch of clips costs in the official training of UniVS: all terms of all predictions (UniVS, section 3.4).

Learnable queries answer for the object that each prediction matches them with, prompt queries for what they were
prompted with; both are held to masks and classes, and to embeddings by which objects are told apart over time.

Shapes: L predictions (before the first layer and after each), B clips, T frames, Q learnable and N prompt queries,
G objects of a clip (padded), K classes of the data set, M pairs, C channels, P points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from univs.losses.counting import ALONE, Counting
from univs.losses.mask_targets import MaskTargets
from univs.losses.matcher import CLASS_COST, Pairs, assign, class_cost
from univs.losses.point_sampling import random_points
from univs.losses.reidentification import reidentification_losses
from univs.losses.segments import segment_loss
from univs.losses.set_criterion import CriterionWeights, class_losses
from univs.losses.supervision import Targets, added
from univs.models.draws import Draws
from univs.models.features import Prediction

Compare = Callable[[Tensor], Targets]
"""Makes of masks B G T H W (those of boxes are filled) what predictions are held to."""

TERMS = ("class", "mask", "dice", "reid", "reid_aux", "reid_l2p", "reid_l2p_aux")
SEGMENTS = "segments"
"""Part of the mask term that is a mean over points of its own."""

Mean = tuple[Tensor, Tensor | int]
"""A loss, and how many of the batch it is a mean over."""

Means = dict[str, Mean]
"""Losses of one prediction by name."""

Group = tuple[Tensor, Tensor, Tensor]
"""Embeddings R C, clip and identity of R (query, frame) pairs."""


@dataclass(frozen=True)
class ClipTargets:
    """What B clips show."""

    masks: Tensor
    """B G T H W, 0 or 1, of the padded input; zero for padding."""
    present: Tensor
    """B G bool, False for padding."""
    ids: Tensor
    """B G T: who the object is; -1 on frames where it is not seen, and for padding."""
    labels: Tensor | None
    """B G class indices, any where padded; None where the data set has no categories."""


@dataclass(frozen=True)
class PromptTargets:
    """What the prompt queries of B clips are to answer."""

    masks: Tensor
    """B N T H W, 0 or 1."""
    ids: Tensor
    """B N: what a prompt was given for, among the prompts of its clip; -1: nothing answers to it."""
    seen: Tensor
    """B N T: as `ClipTargets.ids`, whom the prompt asks for."""
    labels: Tensor | None
    """B N class indices, any where `ids` is -1; None where there are no categories."""
    segments: Tensor | None = None
    """B T H W, the prompt that a pixel belongs to, -1 for none: of category prompts, which exclude each other."""


def match_predictions(
    predictions: Sequence[Prediction],
    learnable: int,
    targets: ClipTargets,
    points: int,
    draws: Draws,
    compare: Compare | None = None,
) -> list[Pairs]:
    """Each prediction's learnable queries (the first `learnable` rows) matched to the objects at P points of a clip.

    compare: as in `clip_losses`.
    """
    known = (compare or compared_as_masks(points))(targets.masks)
    found = []
    for prediction in predictions:
        masks, scores = prediction.mask_logits[:, :learnable], prediction.class_logits
        where = torch.cat([random_points(1, points, masks.device, draws) for _ in masks])
        cost = known.costs(masks, where)
        if scores is not None and targets.labels is not None:
            cost = cost + CLASS_COST * class_cost(scores[:, :learnable], targets.labels)
        found.append(assign(cost, targets.present))
    return found


def compared_as_masks(points: int) -> Compare:
    """What `clip_losses` holds masks to where they are known, at P points of each."""
    return lambda masks: MaskTargets(masks, CriterionWeights(1.0, 1.0, 1.0, points))


def clip_losses(
    predictions: Sequence[Prediction],
    pairs: Sequence[Pairs],
    learnable: int,
    targets: ClipTargets,
    prompts: PromptTargets | None,
    points: int,
    draws: Draws,
    counting: Counting = ALONE,
    compare: Compare | None = None,
) -> dict[str, Tensor]:
    """Unweighted losses.

    Args:
        predictions: L, with class logits of the data set's classes where it has any.
        pairs: of each prediction (`match_predictions`).
        learnable: Q; the rows that follow are those of the prompts.
        prompts: None for a batch without.
        points: P of a mask and frame.
        draws: of the points, and of the columns that embeddings are compared in.
        counting: of what the losses are means over. Embeddings are held against those of this batch alone.
        compare: makes of the masks of targets what predictions are held to; None: `compared_as_masks`. All terms
            of it but `dice` count as `mask`.
    Returns:
        `TERMS`, L each. What both groups of queries have is the mean of both. Without prompts there is no `reid_l2p`.
    """
    compare = compare or compared_as_masks(points)
    known = compare(targets.masks)
    ours = [
        _learnable_losses(prediction, learnable, matched, targets, known, prompts, draws)
        for prediction, matched in zip(predictions, pairs, strict=True)
    ]
    theirs: list[Means] = []
    if prompts is not None:
        asked = compare(prompts.masks)
        theirs = [_prompt_losses(prediction, learnable, prompts, asked, points, draws) for prediction in predictions]
    losses, of_prompts = _counted_together(ours, theirs, counting)
    if SEGMENTS in of_prompts:
        of_prompts["mask"] = of_prompts["mask"] + of_prompts.pop(SEGMENTS)
    for name, values in of_prompts.items():
        losses[name] = (losses[name] + values) / 2
    return losses


def _counted_together(
    ours: Sequence[Means], theirs: Sequence[Means], counting: Counting
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Losses of the learnable and of the prompt queries by name, L each, as shares of the means over all processes.

    All counts are exchanged at once, of every term that there may be: what one process is not asked is no reason for
    the others to wait. Where nobody counts anything (classes without any object), all batches count.
    """
    names = (*TERMS, SEGMENTS)
    values = next(iter(ours[0].values()))[0]
    counts = values.new_zeros(2, len(names), len(ours), dtype=torch.float32)
    for group, terms in enumerate((ours, theirs)):
        for number, means in enumerate(terms):
            for name, (_, count) in means.items():
                counts[group, names.index(name), number] = count
    everywhere = counting.total(counts)
    shares = counting.processes * torch.where(everywhere == 0, 1, counts / everywhere.clamp_min(1))
    found: list[dict[str, Tensor]] = []
    for group, terms in enumerate((ours, theirs)):
        of_group = {}
        for name in terms[0] if terms else ():
            mean = torch.stack([means[name][0] for means in terms])
            of_group[name] = mean * shares[group, names.index(name)]
        found.append(of_group)
    return found[0], found[1]


def seen_embeddings(
    prediction: Prediction, pairs: Pairs, learnable: int, targets: ClipTargets, prompts: PromptTargets | None
) -> tuple[Tensor, Tensor]:
    """Embeddings R C of objects on the frames that show them, and who they are (R), to be held against other clips.

    Those of the prompt queries come first, unless they ask for categories; arguments as in `clip_losses`.
    """
    clip, query, chosen = pairs
    groups = [_seen(prediction.embeddings[clip, query], clip, targets.ids[clip, chosen])]
    if prompts is not None and prompts.segments is None:
        groups.insert(0, _seen_prompts(prediction, learnable, prompts))
    return torch.cat([rows for rows, _, _ in groups]), torch.cat([ids for _, _, ids in groups])


def _learnable_losses(
    prediction: Prediction,
    learnable: int,
    pairs: Pairs,
    targets: ClipTargets,
    known: Targets,
    prompts: PromptTargets | None,
    draws: Draws,
) -> Means:
    clip, query, chosen = pairs
    masks, rows = prediction.mask_logits[:, :learnable], prediction.embeddings[clip, query]
    objects = targets.present.sum()
    losses = _mask_terms(known.matched(masks[None], pairs, objects.clamp_min(1), draws), objects)
    labels = None if targets.labels is None else targets.labels[clip, chosen]
    losses["class"] = _class_loss(prediction, slice(0, learnable), clip, query, labels), len(clip)
    ids = targets.ids[clip, chosen]
    group = _seen(rows, clip, ids)
    losses["reid"], losses["reid_aux"] = _reidentification(group, group, draws)
    if prompts is None:
        return losses
    if prompts.segments is None:
        found = _reidentification(group, _seen_prompts(prediction, learnable, prompts), draws)
    else:
        assert labels is not None and prompts.labels is not None
        there, embeddings = prompts.ids >= 0, prediction.embeddings[:, learnable:]
        group = _all_frames(rows, clip, labels)
        of_prompts = _all_frames(embeddings[there], there.nonzero()[:, 0], prompts.labels[there])
        contrast, _ = _reidentification(group, of_prompts, draws)
        found = contrast, (contrast[0] * 0, 0)
    losses["reid_l2p"], losses["reid_l2p_aux"] = found
    return losses


def _mask_terms(found: Mapping[str, Tensor], objects: Tensor | int) -> Means:
    """Terms of one prediction that targets gave, as means over so many objects: `dice`, and all others as `mask`."""
    others = {name: values for name, values in found.items() if name != "dice"}
    terms: Means = {"mask": (added(others)[0], objects)}
    if "dice" in found:
        terms["dice"] = found["dice"][0], objects
    return terms


def _prompt_losses(
    prediction: Prediction, learnable: int, prompts: PromptTargets, asked: Targets, points: int, draws: Draws
) -> Means:
    masks, embeddings = prediction.mask_logits[:, learnable:], prediction.embeddings[:, learnable:]
    there = prompts.ids >= 0
    clip, query = there.nonzero().unbind(1)
    losses = _mask_terms(asked.matched(masks[None], (clip, query, query), there.numel(), draws), there.numel())
    labels = None if prompts.labels is None else prompts.labels[there]
    losses["class"] = _class_loss(prediction, slice(learnable, None), clip, query, labels), len(clip)
    if prompts.segments is not None:
        frames = masks.transpose(1, 2).flatten(0, 1)
        losses[SEGMENTS] = segment_loss(frames, prompts.segments.flatten(0, 1), points, draws)
    group = _all_frames(embeddings[there], clip, prompts.ids[there])
    losses["reid"], losses["reid_aux"] = _reidentification(group, group, draws)
    return losses


def _reidentification(rows: Group, columns: Group, draws: Draws) -> tuple[Mean, Mean]:
    """`reidentification_losses` of two groups, means over the rows that have a positive column."""
    positive = _same(rows, columns)
    contrast, likeness = reidentification_losses(rows[0], columns[0], positive, draws)
    count = positive.any(1).sum()
    return (contrast, count), (likeness, count)


def _class_loss(prediction: Prediction, rows: slice, clip: Tensor, query: Tensor, labels: Tensor | None) -> Tensor:
    """`class_losses` of one prediction, 0 without categories."""
    scores = prediction.class_logits
    if scores is None or labels is None:
        return prediction.mask_logits.sum() * 0
    return class_losses(scores[None, :, rows], clip, query, labels)[0]


def _all_frames(rows: Tensor, clip: Tensor, identity: Tensor) -> Group:
    """Queries M T C of one clip and identity each, frame by frame."""
    frames = rows.shape[1]
    return rows.flatten(0, 1), clip.repeat_interleave(frames), identity.repeat_interleave(frames)


def _seen(rows: Tensor, clip: Tensor, ids: Tensor) -> Group:
    """Queries M T C of one clip each, on the frames where their ids M T are not -1."""
    there = ids >= 0
    return rows[there], clip[:, None].expand_as(ids)[there], ids[there]


def _seen_prompts(prediction: Prediction, learnable: int, prompts: PromptTargets) -> Group:
    """Prompt queries on the frames that show whom they ask for."""
    clips, count = prompts.ids.shape
    clip = torch.arange(clips, device=prompts.ids.device).repeat_interleave(count)
    return _seen(prediction.embeddings[:, learnable:].flatten(0, 1), clip, prompts.seen.flatten(0, 1))


def _same(rows: Group, columns: Group) -> Tensor:
    """R M bool: whether row and column are of one clip and identity."""
    return (rows[1][:, None] == columns[1]) & (rows[2][:, None] == columns[2])
