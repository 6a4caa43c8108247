"""Single frames: prompts on an empty memory, and learnable queries where every object is labelled.

A prompt without a mask is answered by its query and by its rough map together (`DenseMemory.prompt_residual`), as on
the frame of a click or a box at inference.
Shapes: F frames, M objects of a frame (0 padded), S pixels of a side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from univs.losses import CriterionWeights, prompt_losses, set_losses
from univs.models.dense_memory import DenseMemory, MemoryKey
from univs.models.features import ImageFeatures, PromptQueries, PromptTokens
from univs.models.prompt_maps import box_maps, point_maps, stroke_maps
from univs.models.univs import UniVS
from univs.training.aim import all_objects
from univs.training.prompting import draw_boxes, draw_kind, draw_points, draw_scribbles


@dataclass(frozen=True)
class FrameLosses:
    """Weights of the losses on single frames, and what is prompted there."""

    criterion: CriterionWeights
    kinds: Mapping[str, float]
    """Shares of `prompting.KINDS`; masks, which need no answer, are drawn only if no other kind is."""
    objects: int
    """At most so many objects of a frame are prompted."""
    intermediate: float
    prompt: float
    learnable: float


class PromptedFrames:
    """Losses of single frames.

    Args:
        model: with a dense memory.
        settings: weights and draws.
        rng: of the draws.
    """

    def __init__(self, model: UniVS, settings: FrameLosses, rng: np.random.Generator) -> None:
        assert model.dense_memory is not None
        self.model, self.settings, self.rng = model, settings, rng
        self.dense: DenseMemory = model.dense_memory
        self.object_embedding = F.one_hot(torch.tensor([0]), model.mask_decoder.class_projection.out_features).float()

    def __call__(self, features: ImageFeatures, key: MemoryKey, labels: Tensor, complete: Tensor) -> dict[str, Tensor]:
        """Weighted losses `prompt` and, where it has a weight, `learnable`.

        Args:
            features, key: of F frames.
            labels: F S S object ids, 0 background, 255 unknown.
            complete: F bool, whether every object is labelled.
        """
        settings = self.settings
        objects = [all_objects(of_frame) for of_frame in labels]
        masks = self._choose(objects, labels)
        tokens, maps = self._draw(features, masks)
        learnable = settings.learnable > 0
        predictions = self.model.decode(
            features,
            prompts=PromptQueries.batch([self.model.prompt_queries([of_frame]) for of_frame in tokens]),
            dense=self.dense.prompt_residual(features, key, maps),
            learnable=learnable,
            class_embeddings=self.object_embedding.to(features.mask_features) if learnable else None,
            all_predictions=True,
        )
        rows = len(self.model.mask_decoder.query) if learnable else 0
        seen, points = masks.flatten(2).any(2), settings.criterion.points
        found = [prompt_losses(p.mask_logits[:, rows:], masks[:, :, None], seen, points) for p in predictions]
        losses = {"prompt": settings.prompt * self._sum(found)}
        if learnable:
            there = complete.nonzero()[:, 0]
            targets = [objects[f] for f in there.tolist()]
            names = [torch.zeros(len(g), dtype=torch.long, device=g.device) for g in targets]
            sets = []
            for p in predictions:
                assert p.class_logits is not None
                logits, classes = p.mask_logits[there, :rows], p.class_logits[there, :rows]
                sets.append(set_losses(logits, targets, settings.criterion, classes, names))
            losses["learnable"] = settings.learnable * self._sum(sets)
        return losses

    def _choose(self, objects: list[Tensor], labels: Tensor) -> Tensor:
        """F M S S masks of some objects of each frame, at least one row."""
        chosen = []
        for of_frame in objects:
            picks = self.rng.permutation(len(of_frame))[: self.settings.objects]
            chosen.append(of_frame[torch.from_numpy(picks), 0])
        most = max(1, *(len(masks) for masks in chosen))
        padded = [F.pad(masks, (0, 0, 0, 0, 0, most - len(masks))) for masks in chosen]
        return torch.stack(padded).to(labels.device)

    def _draw(self, features: ImageFeatures, masks: Tensor) -> tuple[list[PromptTokens], Tensor]:
        """Tokens per frame, and F M 2 S/4 S/4 rough maps of prompts that point at the masks F M S S."""
        shares = {kind: share for kind, share in self.settings.kinds.items() if kind != "mask"} or {"mask": 1.0}
        drawn = [
            draw_prompts(self.model, features.frames(slice(f, f + 1)), of_frame, draw_kind(self.rng, shares), self.rng)
            for f, of_frame in enumerate(masks)
        ]
        return [tokens for tokens, _ in drawn], torch.stack([maps for _, maps in drawn])

    def _sum(self, predictions: list[dict[str, Tensor]]) -> Tensor:
        """Weighted terms of all predictions; the last one counts in full, those before it `intermediate` each."""
        weights = self.settings.criterion
        total = predictions[-1]["mask"] * 0
        for i, terms in enumerate(predictions):
            value = weights.mask * terms["mask"] + weights.dice * terms["dice"]
            if "class" in terms:
                value = value + weights.classes * terms["class"]
            total = total + value * (1.0 if i + 1 == len(predictions) else self.settings.intermediate)
        return total


def draw_prompts(
    model: UniVS, features: ImageFeatures, masks: Tensor, kind: str, rng: np.random.Generator
) -> tuple[PromptTokens, Tensor]:
    """Prompts of one kind for the objects M S S of one frame: their tokens, and rough maps M 2 S/4 S/4."""
    there = masks.cpu().numpy() > 0
    size = (masks.shape[-2] // 4, masks.shape[-1] // 4)
    if kind == "box":
        boxes = draw_boxes(rng, there).to(masks.device)
        return model.encode_boxes(features, boxes), box_maps(boxes, size)
    if kind == "point":
        points, labels = (x.to(masks.device) for x in draw_points(rng, there))
        return model.encode_points(features, points, labels), point_maps(points, labels, size)
    drawn = draw_scribbles(rng, there).to(masks.device) if kind == "scribble" else masks
    return model.encode_masks(features, drawn), stroke_maps(drawn)
