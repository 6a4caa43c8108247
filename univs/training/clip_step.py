"""One training step on short clips: prompt on frame 0, then the loop as at inference, with its own masks fed on.

On an empty memory a prompt is answered by its query and by its rough map: that is trained on some frames of the clip,
with prompts of their own (`prompted_frames`). Along the clip, the prompt of frame 0, the queries of the model's own
masks and the dense memory answer together. On one of the later frames every target is corrected by a click on what the
answer had wrong, and answered again.
Shapes: B clips, T frames, M targets (prompt queries), S pixels of a side, Ck, Cv, Cl as in `dense_memory`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from univs.errors import UserError
from univs.losses import BoxTerms, CriterionWeights
from univs.losses.counting import ALONE, Counting
from univs.masks.frame_labels import soft_aggregate
from univs.models.dense_memory import DenseMemory, MemoryKey, MemoryValue
from univs.models.features import DecodeRequest, ImageFeatures, Prediction, PromptTokens
from univs.models.prepared import for_inference
from univs.models.univs import UniVS
from univs.settings import Count, Weight
from univs.training.aim import PADDING_LOGIT
from univs.training.precision import exact_key
from univs.training.processes import common_draw
from univs.training.prompt_batch import encode_prompts
from univs.training.prompted_frames import FrameLosses, PromptedFrames
from univs.training.tracking import Affinities, Supervisor
from univs.training.truth import Known

log = logging.getLogger(__name__)

FAST = ("backbone", "pixel_decoder", "dense_memory", "word_head")
"""Parts that have a faster form (`for_inference`), which is taken where all of them keep their weights."""


@dataclass(frozen=True)
class ClipLosses:
    """What a clip step weighs."""

    criterion: CriterionWeights = field(default_factory=lambda: CriterionWeights(1.0, 1.0, 1.0, 1024))
    local_radius: Count = 5
    memory_frames: Count = 6
    """Of a clip, so many are read from the dense memory at most: the first one and the latest."""
    correspondence: Weight = 0.5
    intermediate: Weight = 0.2
    prompt: Weight = 1.0
    learnable: Weight = 0.2
    answers: Weight = 1.0
    """Of several answers to a prompt, for a model that gives them."""
    corrected: Weight = 0.5
    """Of the answer after a corrective click; 0: nobody clicks."""
    refined: Weight = 0.0
    """Of a closer look at prompted objects, for a model that takes one; it learns from masks alone."""
    looks: Count = 2
    """So many objects of a frame are looked at, on average."""


class ClipStep:
    """Losses of a batch of clips.

    Args:
        model: with a dense memory.
        settings: weights.
        counting: of the objects that losses are means over.
        known: what the data has of its objects: masks, boxes, or either by clip.
        boxes: what masks are held to where boxes are known; None: the terms of MaskFreeVIS.
    """

    def __init__(
        self,
        model: UniVS,
        settings: ClipLosses,
        counting: Counting = ALONE,
        known: Known = "masks",
        boxes: BoxTerms | None = None,
    ) -> None:
        dense_memory_of(model)
        if model.mask_refiner is not None and settings.refined > 0:
            if not model.mask_refiner.learnt:
                model.mask_refiner.begin(model.backbone)
            model.mask_refiner.learnt.fill_(True)
        elif (
            model.mask_refiner is not None and model.mask_refiner.trunk is None and not is_frozen(model, ("backbone",))
        ):
            if model.looks_closer:
                log.warning("the closer look is out of use from here on, as the backbone is trained: stage=closer_look")
            model.mask_refiner.learnt.fill_(False)  # the maps that it reads are about to become others
        if is_frozen(model, FAST):
            model = for_inference(model, but=("mask_refiner",))
        self.model, self.dense, self.settings, self.counting = model, dense_memory_of(model), settings, counting
        if known != "masks" and model.mask_refiner is not None and settings.refined > 0:
            raise UserError("a closer look learns from masks alone: set stage.losses.refined=0 where boxes are known")
        single = FrameLosses(
            settings.criterion,
            settings.intermediate,
            settings.prompt,
            settings.learnable,
            settings.answers,
            settings.refined,
            settings.looks,
        )
        self.frames = PromptedFrames(model, single, counting)
        self.supervisor = Supervisor(known, boxes or BoxTerms(), settings.criterion, settings.intermediate, counting)

    def __call__(self, batch: dict[str, Any], kept_share: float) -> dict[str, Tensor]:
        """Weighted losses by name; their sum is what is minimised.

        Args:
            batch: of `collate_clips`, and with boxes `step`, the number of steps already taken.
            kept_share: of the pixels in the bootstrapped cross-entropy.
        """
        clips, length = batch["frames"].shape[:2]
        truth, tracking = self.supervisor(batch)
        valid = batch["targets"] > 0
        # frame-major order, so that the features of one time step are one slice
        images = self.model.normalize(batch["frames"].transpose(0, 1).flatten(0, 1))
        features = self.model.encode_image(images)
        steps = [features.frames(slice(t * clips, (t + 1) * clips)) for t in range(length)]
        keys = exact_key(self.dense, features)
        key_steps = [keys.frames(slice(t * clips, (t + 1) * clips)) for t in range(length)]

        index = batch["anew"]["frame_index"]
        labels = batch["labels"].transpose(0, 1).flatten(0, 1)[index]
        losses = self.frames(features.frames(index), keys.frames(index), labels, truth, batch["anew"], images[index])
        if length == 1:
            return losses
        first, maps = encode_prompts(self.model, steps[0], batch["labels"][:, 0], batch["first"])
        totals, joints, joint = list[dict[str, Tensor]](), list[Tensor](), None
        if tracking.answers_first:  # on an empty memory, as a prompt without a mask is
            rough = self.dense.prompt_residual(steps[0], key_steps[0], maps)
            joint, intermediate = self._answer(steps[0], [first], valid, rough)
            totals.append(tracking.frame(joint, intermediate, 0, kept_share))
            joints.append(joint)
        values = [self.dense.memory_value(steps[0], tracking.first(joint))]
        prompted, recent = [first], list[PromptTokens]()
        # the same in all processes: with boxes each frame has counts of its own
        corrected_at = 1 + int(common_draw(batch) * (length - 1)) if self.settings.corrected > 0 else None
        for t in range(1, length):
            dense, affinities = self._read(steps[t], key_steps[: t + 1], values, t)
            joint, intermediate = self._answer(steps[t], [*prompted, *recent], valid, dense)
            frame_losses = tracking.frame(joint, intermediate, t, kept_share)
            for name, value in tracking.correspondence(affinities, t).items():
                frame_losses[name] = self.settings.correspondence * value
            totals.append(frame_losses)
            if t == corrected_at:
                prompted.append(self.model.encode_points(steps[t], *tracking.clicks(joint, t)))
                joint, intermediate = self._answer(steps[t], [*prompted, *recent], valid, dense)
                again = tracking.frame(joint, intermediate, t, kept_share)
                losses["corrected"] = self.settings.corrected * torch.stack(list(again.values())).sum()
            joints.append(joint)
            if t + 1 < length:
                answer = joint.softmax(1)[:, 1:]
                values.append(self.dense.memory_value(steps[t], answer))
                recent = [self._tokens_of_masks(steps[t], answer)]
        for name in totals[-1]:
            losses[name] = torch.stack([frame[name] for frame in totals if name in frame]).mean()
        return losses | tracking.clip(joints)

    def _answer(
        self, features: ImageFeatures, tokens: list[PromptTokens], valid: Tensor, dense: Tensor
    ) -> tuple[Tensor, list[Prediction]]:
        """Joint log-odds B M+1 S/4 S/4 of the last layer, and what the layers before it predict."""
        prompts = replace(self.model.prompt_queries(tokens).clips(len(dense)), present=valid)
        *intermediate, last = self.model.decode_layers(features, DecodeRequest(prompts, dense=dense))
        logits = last.mask_logits[:, :, 0].float().masked_fill(~valid[:, :, None, None], PADDING_LOGIT)
        return soft_aggregate(logits), intermediate

    def _tokens_of_masks(self, features: ImageFeatures, masks: Tensor) -> PromptTokens:
        """Tokens of the model's own masks B M S/4 S/4 on the frames of one time."""
        full = masks.detach().repeat_interleave(4, -1).repeat_interleave(4, -2)
        return self.model.encode_masks(features, full.flatten(0, 1))

    def _read(
        self, features: ImageFeatures, keys: list[MemoryKey], values: list[MemoryValue], t: int
    ) -> tuple[Tensor, Affinities]:
        """The dense residual at time t, and the affinities that it was read with."""
        kept = remembered_frames(t, self.settings.memory_frames)
        memory = torch.cat([keys[frame].memory for frame in kept], dim=1)
        affinity = self.dense.global_affinity(keys[t], memory)
        remembered = torch.cat([values[frame].global_value for frame in kept], dim=2)
        global_read = self.dense.read_all(keys[t], affinity, remembered)
        window = self.dense.local_window(keys[t], keys[t - 1], self.settings.local_radius)
        readout = self.dense.readout(keys[t], global_read, window, values[-1].local_value)
        residual = self.dense.residual(features, readout)
        return residual, Affinities(partial(self.dense.read_all, keys[t], affinity), window.read, kept)


def dense_memory_of(model: UniVS) -> DenseMemory:
    """What these stages train. Raises UserError for a model without it."""
    if model.dense_memory is None:
        raise UserError(
            "stages image, clip and long train the dense memory, which this model has not: model=tiny has; "
            "stage=released_image, released_clip and released_long train models without one"
        )
    return model.dense_memory


def is_frozen(model: UniVS, parts: Sequence[str]) -> bool:
    """Whether these parts keep their weights."""
    return not any(p.requires_grad for name, p in model.named_parameters() if name.startswith(tuple(parts)))


def remembered_frames(t: int, most: int) -> list[int]:
    """Frames that are read at time t, at most so many: the first one and the latest, as the memory keeps them."""
    return [0, *range(max(1, t - most + 1), t)]
