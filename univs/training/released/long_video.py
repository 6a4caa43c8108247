"""One training step on a long video, as in the third stage of the official training: clip after clip, with a memory.

What was asked for in the first clip is asked for in all of them; the last frames of the first clip, with their true
masks, are remembered by the prompts of the others. Embeddings of all clips are held against each other.

Shapes: V frames of the video, T of a clip, N prompt queries, K classes of the data set, L predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from univs.data.labelled_sets import Question
from univs.losses.clip_criterion import Pairs, seen_embeddings
from univs.losses.reidentification import between_clips_losses
from univs.models.draws import Draws
from univs.models.features import ImageFeatures, PromptQueries, PromptTokens
from univs.models.univs import UniVS
from univs.training.released.prompting import (
    Prompted,
    ask_for_categories,
    ask_for_expressions,
    draw_categories,
    show_objects,
)
from univs.training.released.settings import ReleasedSettings
from univs.training.released.step import Answers, ReleasedStep
from univs.training.released.targets import LabelledClip, clip_targets
from univs.training.released.visual_prompts import draw_again, draw_shown

Ask = Callable[[ImageFeatures, LabelledClip], Prompted]
"""What the prompt queries of one clip are asked for."""


def clip_starts(frames: int, length: int) -> list[int]:
    """First frames of clips that share a frame with the one before; the last one ends with the video.

    Raises ValueError for a video shorter than a clip of two frames or more.
    """
    if not 1 < length <= frames:
        raise ValueError(f"a video of {frames} frames has no clips of {length} that share frames")
    starts = [0]
    while starts[-1] + length < frames:
        starts.append(min(starts[-1] + length - 1, frames - length))
    return starts


class LongVideoStep:
    """Losses of one video.

    Args:
        model: of the official kind.
        settings: weights and choices; the official weight of re-identification is half that of the other stages.
        clip_length: T.
    """

    def __init__(self, model: UniVS, settings: ReleasedSettings, clip_length: int) -> None:
        self.model, self.settings, self.clip_length = model, settings, clip_length
        self.step = ReleasedStep(model, settings)

    def __call__(
        self, video: LabelledClip, question: Question, class_embeddings: Tensor | None, draws: Draws
    ) -> dict[str, Tensor]:
        """Weighted losses of L predictions (`losses`); their sum is what is minimised.

        Args:
            video: V frames.
            question: what the prompt queries are asked for.
            class_embeddings: K D of the data set as stored; None where it has no categories.
        """
        answers = self.answer(video, question, class_embeddings, draws)
        pairs = [self.step.match(of_clip, draws) for of_clip in answers]
        return self.settings.weighted(self.losses(answers, pairs, draws))

    def answer(
        self, video: LabelledClip, question: Question, class_embeddings: Tensor | None, draws: Draws
    ) -> list[Answers]:
        """What is predicted for each clip; arguments as in a call."""
        features = self.step.encode([video])
        visible = video.padded(features.input_size).visible(self.settings.objects)
        ask = self._asking(video, visible, question, class_embeddings, draws)
        memory: PromptTokens | None = None
        answers = []
        for start in clip_starts(len(video.frames), self.clip_length):
            part = slice(start, start + self.clip_length)
            image, clip = features.frames(part), visible.between(part)
            prompted = None if ask is None else ask(image, clip)
            queries, targets = (None, None) if prompted is None else (prompted.queries, prompted.targets)
            if queries is not None and memory is not None:
                queries = self._remembering(queries, memory)
            predictions = self.step.decode(image, self.clip_length, question, queries, class_embeddings, draws)
            answers.append(Answers(predictions, clip_targets([clip]), targets))
            if targets is not None and memory is None and question != "categories":
                memory = self._remember(image, clip, targets.masks[0], draws)
        return answers

    def losses(self, answers: Sequence[Answers], pairs: Sequence[Sequence[Pairs]], draws: Draws) -> dict[str, Tensor]:
        """Unweighted `clip_criterion.TERMS`, meaned over the clips, and `reid_interclip` and `reid_interclip_aux`.

        Args:
            answers: of each clip.
            pairs: of each clip and prediction, whom the learnable queries answer for.
        """
        terms = [self.step.losses(of_clip, of_pairs, draws) for of_clip, of_pairs in zip(answers, pairs, strict=True)]
        losses = {name: torch.stack([of_clip[name] for of_clip in terms]).mean(0) for name in terms[0]}
        return {**losses, **self._between_clips(answers, pairs, draws)}

    def _between_clips(
        self, answers: Sequence[Answers], pairs: Sequence[Sequence[Pairs]], draws: Draws
    ) -> dict[str, Tensor]:
        """Embeddings of one clip held against those of the others, L each, 0 before the first layer."""
        learnable = len(self.model.mask_decoder.query)
        losses = [answers[0].predictions[0].embeddings.sum().mul(0).expand(2)]
        for number in range(1, len(answers[0].predictions)):
            groups = [
                seen_embeddings(a.predictions[number], of_clip[number], learnable, a.targets, a.prompts)
                for a, of_clip in zip(answers, pairs, strict=True)
            ]
            rows, ids = (torch.cat(parts) for parts in zip(*groups, strict=True))
            losses.append(torch.stack(between_clips_losses(rows, ids, draws)))
        contrast, likeness = torch.stack(losses).unbind(1)
        return {"reid_interclip": contrast, "reid_interclip_aux": likeness}

    def _asking(
        self,
        video: LabelledClip,
        visible: LabelledClip,
        question: Question,
        class_embeddings: Tensor | None,
        draws: Draws,
    ) -> Ask | None:
        """Who asks the same of each clip in turn; None if there is nothing to ask for."""
        model, settings = self.model, self.settings
        count = min(settings.objects, len(video.ids))
        if not len(visible.ids):
            return None
        if question == "categories":
            assert class_embeddings is not None and video.labels is not None
            asked = draw_categories([visible], [video.labels], settings.objects, len(class_embeddings), draws)
            return lambda image, clip: ask_for_categories(model, image, [clip], asked, class_embeddings)
        if question == "expressions":
            return lambda image, clip: ask_for_expressions(model, image, [clip], count, settings.expression_masks)
        first = draw_shown(visible.between(slice(0, self.clip_length)).masks, count, draws)
        if not len(first.rows):
            return None
        turns = [first]

        def show(image: ImageFeatures, clip: LabelledClip) -> Prompted:
            shown = turns.pop() if turns else draw_again(first, self.clip_length, draws)
            return show_objects(model, image, [clip], [shown], len(first.rows), settings, draws)

        return show

    def _remember(self, image: ImageFeatures, clip: LabelledClip, masks: Tensor, draws: Draws) -> PromptTokens:
        """Tokens of the true masks N T H W on the last frames of a clip: a third of them and one more, perhaps more."""
        frames = self.clip_length
        count = max(int(draws.permutation(frames)[0]), frames // 3 + 1)
        tokens = []
        for t in range(frames - count, frames):
            index = t if self.settings.memory_times == "counted" else clip.frame_indices[t]
            found = self.model.encode_masks(
                image.frames(slice(t, t + 1)), masks[:, t], index, draws, self.settings.tokens
            )
            tokens.append(found)
        return PromptTokens.cat(tokens)

    def _remembering(self, queries: PromptQueries, memory: PromptTokens) -> PromptQueries:
        """Prompts of one clip that read the tokens of a memory before their own."""

        def before(values: Tensor, own: Tensor) -> Tensor:
            shared = values[None, :, None]
            return torch.cat([shared.expand(*own.shape[:3], *shared.shape[3:]), own], 3)

        valid = queries.token_valid
        if valid is None and self.model.mask_decoder.masks_blank_tokens:
            valid = torch.ones_like(queries.tokens[..., 0], dtype=torch.bool)
        positions = queries.token_positions
        return replace(
            queries,
            tokens=before(memory.features, queries.tokens),
            token_positions=None if positions is None else before(memory.positions, positions),
            token_valid=None if valid is None else before(memory.valid, valid),
        )
