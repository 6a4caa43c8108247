"""Single frames: prompts on an empty memory, and learnable queries where every object is labelled.

A prompt without a mask is answered by its query and by its rough map together (`DenseMemory.prompt_residual`), as on
the frame of a click or a box at inference.
Shapes: F frames, K prompted and G listed objects of a frame (0 padded), S pixels of a side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from univs.losses import CriterionWeights, added, set_losses
from univs.losses.counting import ALONE, Counting
from univs.models.dense_memory import DenseMemory, MemoryKey
from univs.models.features import DecodeRequest, ImageFeatures
from univs.models.prompt_answers import PromptedMasks
from univs.models.univs import UniVS
from univs.training.closer_look import CloserLooks
from univs.training.prompt_batch import encode_prompts
from univs.training.truth import FrameTruth


@dataclass(frozen=True)
class FrameLosses:
    """Weights of the losses on single frames."""

    criterion: CriterionWeights
    intermediate: float
    prompt: float
    learnable: float
    answers: float = 1.0
    refined: float = 0.0
    looks: int = 2


class PromptedFrames:
    """Losses of single frames.

    Args:
        model: with a dense memory.
        settings: weights.
        counting: of the objects that losses are means over.
    """

    def __init__(self, model: UniVS, settings: FrameLosses, counting: Counting = ALONE) -> None:
        assert model.dense_memory is not None
        self.model, self.settings, self.counting = model, settings, counting
        self.dense: DenseMemory = model.dense_memory
        closer = model.mask_refiner is not None and settings.refined > 0
        self.looks = CloserLooks(model, settings.looks, counting) if closer else None

    def __call__(
        self,
        features: ImageFeatures,
        key: MemoryKey,
        labels: Tensor,
        truth: FrameTruth,
        drawn: Mapping[str, Tensor],
        images: Tensor,
    ) -> dict[str, Tensor]:
        """Weighted losses: `prompt`, and where they have a weight `learnable`, of several answers `answers` and
        `quality`, and of a closer look `refined`.

        Args:
            features, key: of F frames.
            labels: F S S object ids, 0 background, 255 unknown: what prompts that are masks show.
            truth: what is known of the frames.
            drawn: `anew` of `collate_clips`: prompts of K objects, `objects` F G, `complete`.
            images: F 3 S S, normalised.
        """
        settings = self.settings
        tokens, maps = encode_prompts(self.model, features, labels, drawn)
        learnable = settings.learnable > 0
        mask_decoder = self.model.mask_decoder
        some_class = torch.zeros(1, mask_decoder.class_projection.out_features, device=labels.device)
        some_class[:, 0] = 1
        prompts = self.model.prompt_queries([tokens]).clips(len(labels))
        request = DecodeRequest(
            replace(prompts, present=drawn["ids"] > 0),
            learnable=learnable,
            dense=self.dense.prompt_residual(features, key, maps),
            class_embeddings=some_class if learnable else None,
        )
        answers = None
        wanted = settings.answers > 0 or self.looks is not None
        if self.model.prompt_answers is not None and wanted:
            predictions, answers = self.model.decode_answers(features, request)
        else:
            predictions = self.model.decode_layers(features, request)
        rows = len(mask_decoder.query) if learnable else 0
        weights = settings.criterion
        logits = torch.stack([p.mask_logits for p in predictions])  # L F rows+K 1 S/4 S/4
        targets, seen = truth.targets(drawn["ids"])
        found = targets.prompted(logits[:, :, rows:], seen, self.counting)
        shares = torch.full((len(predictions),), float(settings.intermediate), device=labels.device)
        shares[-1] = 1
        prompt = (shares * added(found)).sum()
        losses = {"prompt": settings.prompt * prompt}
        if answers is not None and settings.answers > 0:
            several = targets.answers(answers.mask_logits, answers.quality, seen, self.counting)
            losses |= {name: settings.answers * value for name, value in several.items()}
        if self.looks is not None:
            said = answers or PromptedMasks(logits[-1, :, rows:, :1], torch.zeros_like(logits[-1, :, rows:, :1, 0, 0]))
            losses["refined"] = settings.refined * self.looks(images, labels, drawn, said.mask_logits, said.quality)
        if learnable:
            there = drawn["complete"]
            scores = torch.stack([p.class_logits for p in predictions if p.class_logits is not None])[:, there, :rows]
            targets, present = truth.frames(there).targets(drawn["objects"][there])
            names = torch.zeros_like(present, dtype=torch.long)
            sets = set_losses(logits[:, there, :rows], targets, present, weights.points, scores, names, self.counting)
            classes = weights.classes * sets.pop("class")
            total = added(sets) + classes
            losses["learnable"] = settings.learnable * (shares * total).sum()
        return losses
