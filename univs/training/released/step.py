"""One training step on labelled clips, as in the first two stages of the official training.

Shapes: B clips, T frames, N prompt queries, K classes of the data set, D dimension of texts, L predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from univs.data.labelled_sets import Question
from univs.losses.clip_criterion import ClipTargets, Pairs, PromptTargets, clip_losses, match_predictions
from univs.losses.counting import ALONE, Counting
from univs.models.draws import Draws
from univs.models.features import DecodeRequest, ImageFeatures, Prediction, PromptQueries
from univs.models.univs import UniVS
from univs.training.released.prompting import (
    Prompted,
    ask_for_categories,
    ask_for_expressions,
    draw_categories,
    show_objects,
)
from univs.training.released.settings import ReleasedSettings
from univs.training.released.targets import LabelledClip, clip_targets
from univs.training.released.visual_prompts import draw_shown


@dataclass(frozen=True)
class Answers:
    """What the model says of a batch, and what it should have said."""

    predictions: list[Prediction]
    targets: ClipTargets
    prompts: PromptTargets | None


class ReleasedStep:
    """Losses of a batch of clips.

    Args:
        model: of the official kind.
        settings: weights and choices.
        counting: of what the losses are means over.
    """

    def __init__(self, model: UniVS, settings: ReleasedSettings, counting: Counting = ALONE) -> None:
        self.model, self.settings, self.counting = model, settings, counting

    def __call__(
        self, clips: Sequence[LabelledClip], question: Question, class_embeddings: Tensor | None, draws: Draws
    ) -> dict[str, Tensor]:
        """Weighted losses, `clip_criterion.TERMS` of L predictions each; their sum is what is minimised.

        Args:
            clips: B, of one data set, with the same number of frames of one size.
            question: what the prompt queries are asked for.
            class_embeddings: K D of the data set as stored; None where it has no categories.
        """
        answers = self.answer(clips, question, class_embeddings, draws)
        return self.settings.weighted(self.losses(answers, self.match(answers, draws), draws))

    def answer(
        self, clips: Sequence[LabelledClip], question: Question, class_embeddings: Tensor | None, draws: Draws
    ) -> Answers:
        """What is predicted for a batch; arguments as in a call."""
        features = self.encode(clips)
        listed = [clip.labels for clip in clips if clip.labels is not None]
        count = min(self.settings.objects, max(len(clip.ids) for clip in clips))
        clips = [clip.padded(features.input_size).visible(self.settings.objects) for clip in clips]
        prompted: Prompted | None
        if not any(len(clip.ids) for clip in clips):
            prompted = None
        elif question == "categories":
            assert class_embeddings is not None
            asked = draw_categories(clips, listed, self.settings.objects, len(class_embeddings), draws)
            prompted = ask_for_categories(self.model, features, clips, asked, class_embeddings)
        elif question == "expressions":
            prompted = ask_for_expressions(self.model, features, clips, count, self.settings.expression_masks)
        else:
            prompted = self._shown(features, clips, count, draws)
        queries, targets = (None, None) if prompted is None else (prompted.queries, prompted.targets)
        predictions = self.decode(features, len(clips[0].frames), question, queries, class_embeddings, draws)
        return Answers(predictions, clip_targets(clips), targets)

    def encode(self, clips: Sequence[LabelledClip]) -> ImageFeatures:
        """Features of all frames, clip after clip."""
        return self.model.encode_image(self.model.normalize(torch.cat([clip.frames for clip in clips])))

    def _shown(
        self, features: ImageFeatures, clips: Sequence[LabelledClip], count: int, draws: Draws
    ) -> Prompted | None:
        """Objects shown on a frame of each clip; None if one of these frames shows none."""
        shown = [draw_shown(clip.masks, count, draws) for clip in clips]
        fewest = min(len(objects.rows) for objects in shown)
        if not fewest:
            return None
        if len(clips) == 1:
            count = fewest
        return show_objects(self.model, features, clips, shown, count, self.settings, draws)

    def decode(
        self,
        features: ImageFeatures,
        length: int,
        question: Question,
        queries: PromptQueries | None,
        class_embeddings: Tensor | None,
        draws: Draws,
    ) -> list[Prediction]:
        """All predictions for clips of T = `length` frames."""
        blocked = question == "expressions"
        request = DecodeRequest(
            queries,
            learnable=True,
            clip_length=length,
            class_embeddings=class_embeddings,
            self_attention="sep-blocked" if blocked else self.settings.self_attention,
            shuffle=draws,
        )
        return self.model.decode_layers(features, request)

    def match(self, answers: Answers, draws: Draws) -> list[Pairs]:
        """The objects that the learnable queries of each prediction answer for."""
        return match_predictions(answers.predictions, self._learnable, answers.targets, self.settings.points, draws)

    def losses(self, answers: Answers, pairs: Sequence[Pairs], draws: Draws) -> dict[str, Tensor]:
        """Unweighted losses of answers whose learnable queries answer for `pairs` of each prediction."""
        asked = answers.targets, answers.prompts
        return clip_losses(
            answers.predictions, pairs, self._learnable, *asked, self.settings.points, draws, self.counting
        )

    @property
    def _learnable(self) -> int:
        return len(self.model.mask_decoder.query)
