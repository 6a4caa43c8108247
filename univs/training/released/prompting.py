"""What the prompt queries of a batch of clips are asked, and what they are to answer.

Shapes: B clips, T frames, G objects of a clip, N prompt queries, K classes of the data set, D dimension of texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from univs.losses.clip_criterion import PromptTargets
from univs.losses.segments import NOBODY
from univs.models.draws import Draws
from univs.models.features import ImageFeatures, PromptQueries, PromptTokens, TextFeatures
from univs.models.univs import UniVS
from univs.training.released.settings import ExpressionMasks, ReleasedSettings
from univs.training.released.targets import LabelledClip, running_numbers
from univs.training.released.visual_prompts import PromptFrame, ShownObjects


@dataclass(frozen=True)
class Prompted:
    """The prompt stream of a batch, and its targets."""

    queries: PromptQueries
    targets: PromptTargets


@dataclass(frozen=True)
class AskedCategories:
    """Categories that a clip is asked for."""

    classes: Tensor
    """N class indices."""
    shown: int
    """So many of the first are there."""


def show_objects(
    model: UniVS,
    features: ImageFeatures,
    clips: Sequence[LabelledClip],
    shown: Sequence[ShownObjects],
    count: int,
    settings: ReleasedSettings,
    draws: Draws,
) -> Prompted:
    """Objects that are shown on a frame of their clip.

    Args:
        features: of the B*T frames.
        clips: with the objects that count.
        shown: of each clip, at least one.
        count: N; where fewer objects are shown, they are asked for again.
    """
    length = clips[0].masks.shape[1]
    of_clips, rows = [], []
    for number, (clip, objects) in enumerate(zip(clips, shown, strict=True)):
        at = number * length + objects.frame
        image, index = features.frames(slice(at, at + 1)), clip.frame_indices[objects.frame]
        frame = PromptFrame(model, image, index, settings.tokens, settings.token_order, draws)
        masks = clip.masks[objects.rows, objects.frame]
        found = frame.encode(masks, objects.kinds)
        turn = _in_turn(count, len(objects.rows), masks.device)
        of_clips.append(PromptTokens(found.features[turn], found.positions[turn], found.valid[turn]))
        rows.append(objects.rows[turn])
    content, positions, valid = (
        torch.cat([getattr(of_clip, name) for of_clip in of_clips]) for name in ("features", "positions", "valid")
    )
    everyone = PromptTokens(content, positions, valid)
    queries = model.prompt_queries([everyone], initial=[everyone] * length)
    if draws.uniform(1) > 0.5:
        place = positions.sum(1) / positions.any(-1).sum(1, keepdim=True).clamp_min(1)
        position = place[None, :, None].expand_as(queries.query)
    else:  # a query does not always know where its object was
        position = queries.query - model.visual_sampler.prompt_sot
    return Prompted(replace(queries, position=position).clips(len(clips)), _targets(clips, rows, rows))


def ask_for_expressions(
    model: UniVS, features: ImageFeatures, clips: Sequence[LabelledClip], count: int, expression_masks: ExpressionMasks
) -> Prompted:
    """Described objects, each by its expression.

    Args:
        features: of the B*T frames.
        clips: with the objects that count and their expressions; without any, nothing is asked for.
        count: N; where fewer objects are described, they are asked for again.
    """
    length = clips[0].masks.shape[1]
    queries, ids, rows = [], [], []
    for number, clip in enumerate(clips):
        assert clip.expressions is not None
        turn = _in_turn(count, len(clip.ids), clip.ids.device)
        texts = clip.expressions.take(turn) if len(clip.ids) else _no_texts(clip.expressions, count)
        numbers = running_numbers(clip.ids)[turn] if len(clip.ids) else torch.full_like(turn, NOBODY)
        image = features.frames(slice(number * length, (number + 1) * length))
        queries.append(model.text_prompts(image, texts, length))
        ids.append(numbers)
        rows.append(numbers if expression_masks == "numbered" or not len(clip.ids) else turn)
    return Prompted(PromptQueries.batch(queries), _targets(clips, rows, ids))


def draw_categories(
    clips: Sequence[LabelledClip], listed: Sequence[Tensor], most: int, classes: int, draws: Draws
) -> list[AskedCategories]:
    """For each clip N categories: those that it shows, then others.

    Args:
        clips: with the objects that count and their labels.
        listed: of each clip the classes of all its annotations; what is listed and not shown is asked for only where
            all classes are listed.
        most: N is the largest number of categories that a clip shows, and at most this.
        classes: K.
    """
    shown = [clip.labels.unique() for clip in clips if clip.labels is not None]
    count = min(most, max(len(of_clip) for of_clip in shown))
    asked = []
    for present, known in zip(shown, listed, strict=True):
        every = torch.arange(classes, device=present.device)
        others = every[~torch.isin(every, known)]
        missing = max(0, count - len(present))
        if missing and not len(others):
            others = every[~torch.isin(every, present)]
        others = others[draws.permutation(len(others)).to(others.device)]
        filling = others[_in_turn(missing, len(others), others.device)]
        asked.append(AskedCategories(torch.cat([present, filling])[:count], min(count, len(present))))
    return asked


def ask_for_categories(
    model: UniVS,
    features: ImageFeatures,
    clips: Sequence[LabelledClip],
    asked: Sequence[AskedCategories],
    class_embeddings: Tensor,
) -> Prompted:
    """Everything of a category.

    Args:
        features: of the B*T frames.
        clips: with the objects that count and their labels.
        asked: of each clip, N.
        class_embeddings: K D, as stored.
    """
    length = clips[0].masks.shape[1]
    queries, targets = [], []
    for number, (clip, categories) in enumerate(zip(clips, asked, strict=True)):
        image = features.frames(slice(number * length, (number + 1) * length))
        queries.append(model.category_prompts(image, class_embeddings[categories.classes], length))
        targets.append(_category_targets(clip, categories))
    return Prompted(PromptQueries.batch(queries), _stacked(targets))


def _category_targets(clip: LabelledClip, asked: AskedCategories) -> PromptTargets:
    """Targets of one clip (B = 1)."""
    assert clip.labels is not None
    masks = torch.stack([clip.masks[clip.labels == name].any(0) for name in asked.classes])
    ids = torch.arange(len(masks), device=masks.device)
    ids[asked.shown :] = NOBODY
    seen = torch.where(masks.flatten(2).any(2), ids[:, None], NOBODY)
    segments = torch.where(masks.any(0), masks.to(torch.uint8).argmax(0), NOBODY)
    return PromptTargets(masks[None], ids[None], seen[None], asked.classes[None], segments[None])


def _targets(clips: Sequence[LabelledClip], rows: Sequence[Tensor], ids: Sequence[Tensor]) -> PromptTargets:
    """Targets of the objects in `rows` (N of each clip, -1 for nothing), told apart by `ids` (N)."""
    targets = []
    for clip, objects, numbers in zip(clips, rows, ids, strict=True):
        # row -1 is a blank one behind the others
        masks = torch.cat([clip.masks, clip.masks.new_zeros(1, *clip.masks.shape[1:])])[objects]
        seen = torch.cat([clip.frame_ids(), clip.ids.new_full((1, masks.shape[1]), NOBODY)])[objects]
        labels = None if clip.labels is None else torch.cat([clip.labels, clip.labels.new_zeros(1)])[objects][None]
        targets.append(PromptTargets(masks[None], numbers[None], seen[None], labels))
    return _stacked(targets)


def _stacked(clips: Sequence[PromptTargets]) -> PromptTargets:
    """Targets of single clips as those of a batch."""
    labels = [clip.labels for clip in clips if clip.labels is not None]
    segments = [clip.segments for clip in clips if clip.segments is not None]
    return PromptTargets(
        torch.cat([clip.masks for clip in clips]),
        torch.cat([clip.ids for clip in clips]),
        torch.cat([clip.seen for clip in clips]),
        torch.cat(labels) if labels else None,
        torch.cat(segments) if segments else None,
    )


def _in_turn(count: int, among: int, device: torch.device) -> Tensor:
    """`count` places among some, one after the other and again from the first."""
    return torch.arange(count, device=device) % max(1, among)


def _no_texts(texts: TextFeatures, count: int) -> TextFeatures:
    """Blank texts, like those of an encoder."""
    words, sentence = (x.new_zeros(count, *x.shape[1:]) for x in (texts.words, texts.sentence))
    return TextFeatures(words, torch.ones_like(words[..., 0], dtype=torch.bool), sentence)
