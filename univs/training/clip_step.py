"""One training step on short clips: prompt on frame 0, then the loop as at inference, with its own masks fed on.

On an empty memory a prompt is answered by its query and by its rough map: that is trained on some frames of the clip,
with prompts of their own (`prompted_frames`). Along the clip, the prompt of frame 0, the queries of the model's own
masks and the dense memory answer together. On one of the later frames every target is corrected by a click on what the
answer had wrong, and answered again.
Shapes: B clips, T frames, M targets (prompt queries), S pixels of a side, Ck, Cv, Cl as in `dense_memory`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.errors import UserError
from univs.losses import (
    CriterionWeights,
    bootstrapped_cross_entropy,
    correspondence_loss,
    mean_over,
    prompt_losses,
    soft_dice_loss,
)
from univs.losses.counting import ALONE, Counting
from univs.masks.frame_labels import soft_aggregate
from univs.masks.geometry import MASK_STRIDE
from univs.masks.meanings import IGNORE
from univs.models.dense_memory import MemoryKey, MemoryValue
from univs.models.features import DecodeRequest, ImageFeatures, Prediction, PromptTokens
from univs.models.univs import UniVS
from univs.settings import Count, Weight
from univs.training.aim import Aim, read_aim
from univs.training.corrections import corrective_clicks
from univs.training.prompt_batch import encode_prompts
from univs.training.prompted_frames import FrameLosses, PromptedFrames

PADDING_LOGIT = -12.0
"""Logit given to the rows of padding targets, so that they never compete."""


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


class ClipStep:
    """Losses of a batch of clips.

    Args:
        model: with a dense memory.
        settings: weights.
        counting: of the objects that losses are means over.
    """

    def __init__(self, model: UniVS, settings: ClipLosses, counting: Counting = ALONE) -> None:
        if model.dense_memory is None:
            raise UserError(
                "stages image, clip and long train the dense memory, which this model has not: model=tiny has; "
                "stage=released_image, released_clip and released_long train models without one"
            )
        self.model, self.dense, self.settings, self.counting = model, model.dense_memory, settings, counting
        single = FrameLosses(
            settings.criterion, settings.intermediate, settings.prompt, settings.learnable, settings.answers
        )
        self.frames = PromptedFrames(model, single, counting)

    def __call__(self, batch: dict[str, Any], kept_share: float) -> dict[str, Tensor]:
        """Weighted losses by name; their sum is what is minimised.

        Args:
            batch: of `collate_clips`.
            kept_share: of the pixels in the bootstrapped cross-entropy.
        """
        clips, length = batch["frames"].shape[:2]
        aim = read_aim(batch["labels"], batch["targets"])
        # frame-major order, so that the features of one time step are one slice
        images = self.model.normalize(batch["frames"].transpose(0, 1).flatten(0, 1))
        features = self.model.encode_image(images)
        steps = [features.frames(slice(t * clips, (t + 1) * clips)) for t in range(length)]
        with torch.autocast(images.device.type, enabled=False):  # distances of keys are differences of large squares
            keys = self.dense.memory_key(features.float())
        key_steps = [keys.frames(slice(t * clips, (t + 1) * clips)) for t in range(length)]

        index = batch["anew"]["frame_index"]
        labels = batch["labels"].transpose(0, 1).flatten(0, 1)[index]
        losses = self.frames(features.frames(index), keys.frames(index), labels, batch["anew"])
        if length == 1:
            return losses
        first, _ = encode_prompts(self.model, steps[0], batch["labels"][:, 0], batch["first"])
        values = [self.dense.memory_value(steps[0], aim.quarter[:, :, 0])]
        prompted, recent, totals = [first], list[PromptTokens](), []
        # processes may differ in when: what they count along a clip is its targets every time
        corrected_at = int(torch.randint(1, length, ())) if self.settings.corrected > 0 else None
        for t in range(1, length):
            dense, correspondence = self._read(steps[t], key_steps[: t + 1], values, aim, t)
            joint, intermediate = self._answer(steps[t], [*prompted, *recent], aim.valid, dense)
            frame_losses = self._tracked(joint, intermediate, aim, t, kept_share)
            frame_losses["correspondence"] = self.settings.correspondence * correspondence
            totals.append(frame_losses)
            if t == corrected_at:
                prompted.append(self._clicks(steps[t], joint, aim, t))
                joint, intermediate = self._answer(steps[t], [*prompted, *recent], aim.valid, dense)
                again = self._tracked(joint, intermediate, aim, t, kept_share)
                losses["corrected"] = self.settings.corrected * torch.stack(list(again.values())).sum()
            if t + 1 < length:
                answer = joint.softmax(1)[:, 1:]
                values.append(self.dense.memory_value(steps[t], answer))
                recent = [self._tokens_of_masks(steps[t], answer)]
        for name in totals[0]:
            losses[name] = torch.stack([frame[name] for frame in totals]).mean()
        return losses

    def _answer(
        self, features: ImageFeatures, tokens: list[PromptTokens], valid: Tensor, dense: Tensor
    ) -> tuple[Tensor, list[Prediction]]:
        """Joint log-odds B M+1 S/4 S/4 of the last layer, and what the layers before it predict."""
        prompts = replace(self.model.prompt_queries(tokens).clips(len(dense)), present=valid)
        *intermediate, last = self.model.decode_layers(features, DecodeRequest(prompts, dense=dense))
        logits = last.mask_logits[:, :, 0].float().masked_fill(~valid[:, :, None, None], PADDING_LOGIT)
        return soft_aggregate(logits), intermediate

    def _clicks(self, features: ImageFeatures, joint: Tensor, aim: Aim, t: int) -> PromptTokens:
        """Tokens of a click on what is wrong with the answer to each target at time t."""
        number = torch.arange(1, joint.shape[1], device=joint.device)[:, None, None]
        said = joint.argmax(1, keepdim=True) == number
        known = known_cells(aim.classes[:, t], MASK_STRIDE)
        return self.model.encode_points(features, *corrective_clicks(said, aim.quarter[:, :, t], known))

    def _tokens_of_masks(self, features: ImageFeatures, masks: Tensor) -> PromptTokens:
        """Tokens of the model's own masks B M S/4 S/4 on the frames of one time."""
        full = masks.detach().repeat_interleave(4, -1).repeat_interleave(4, -2)
        return self.model.encode_masks(features, full.flatten(0, 1))

    def _read(
        self, features: ImageFeatures, keys: list[MemoryKey], values: list[MemoryValue], aim: Aim, t: int
    ) -> tuple[Tensor, Tensor]:
        """The dense residual at time t, and how well true masks come through both affinities."""
        kept = remembered_frames(t, self.settings.memory_frames)
        memory = torch.cat([keys[frame].memory for frame in kept], dim=1)
        affinity = self.dense.global_affinity(keys[t], memory)
        remembered = torch.cat([values[frame].global_value for frame in kept], dim=2)
        global_read = self.dense.read_all(keys[t], affinity, remembered)
        window = self.dense.local_window(keys[t], keys[t - 1], self.settings.local_radius)
        readout = self.dense.readout(keys[t], global_read, window, values[-1].local_value)
        residual = self.dense.residual(features, readout)

        truth16 = F.avg_pool2d(aim.quarter.flatten(1, 2), 4).unflatten(1, aim.quarter.shape[1:3])  # B M T h16 w16
        sure16, sure8 = (known_cells(aim.classes, stride) for stride in (16, 8))
        masks = _with_known(truth16[:, :, kept].flatten(2), sure16[:, kept].flatten(1))[..., None]  # B M+1 R*P 1
        carried = self.dense.read_all(keys[t], affinity, masks)[..., 0]
        truth8 = F.avg_pool2d(aim.quarter[:, :, t - 1 : t + 1].flatten(1, 2), 2).unflatten(1, (-1, 2))
        locally = window.read(_with_known(truth8[:, :, 0], sure8[:, t - 1])).flatten(2)
        loss = self._correspondence(carried, truth16[:, :, t].flatten(2), aim.valid, sure16[:, t].flatten(1))
        near = self._correspondence(locally, truth8[:, :, 1].flatten(2), aim.valid, sure8[:, t].flatten(1))
        return residual, loss + near

    def _correspondence(self, carried: Tensor, truth: Tensor, valid: Tensor, known: Tensor) -> Tensor:
        """`correspondence_loss` of what `_with_known` made, carried to P places: B M+1 P.

        What is carried from known cells alone is compared, where they are at least half of what a place reads.
        """
        share = carried[:, -1:]
        compared = known & (share[:, 0] >= 0.5)
        return correspondence_loss(carried[:, :-1] / share.clamp_min(0.5), truth, valid, compared, self.counting)

    def _tracked(
        self, joint: Tensor, intermediate: list[Prediction], aim: Aim, t: int, kept_share: float
    ) -> dict[str, Tensor]:
        """Losses of one later frame from the joint log-odds B M+1 S/4 S/4."""
        full = F.interpolate(joint, scale_factor=4, mode="bilinear", align_corners=False)
        cross_entropy = bootstrapped_cross_entropy(full, aim.classes[:, t], kept_share)
        known = (aim.classes[:, t] != IGNORE)[:, None]
        probabilities = full.softmax(1)[:, 1:] * known
        shares = soft_dice_loss(probabilities.flatten(0, 1).flatten(1), aim.masks[:, :, t].flatten(0, 1).flatten(1))
        dice = mean_over(shares.view_as(aim.valid), aim.valid, self.counting)
        losses = {"cross_entropy": cross_entropy, "dice": dice}
        if self.settings.intermediate > 0:
            logits = torch.stack([p.mask_logits for p in intermediate])
            points = self.settings.criterion.points
            terms = prompt_losses(logits, aim.masks[:, :, t : t + 1], aim.valid, points, ~known, self.counting)
            losses["intermediate"] = self.settings.intermediate * (terms["mask"] + terms["dice"]).sum()
        return losses


def remembered_frames(t: int, most: int) -> list[int]:
    """Frames that are read at time t, at most so many: the first one and the latest, as the memory keeps them."""
    return [0, *range(max(1, t - most + 1), t)]


def known_cells(classes: Tensor, stride: int) -> Tensor:
    """Label maps B (T) S S -> B (T) S/stride S/stride bool: cells without a pixel of which nothing is known."""
    return F.max_pool2d((classes == IGNORE).float(), stride) == 0


def _with_known(masks: Tensor, known: Tensor) -> Tensor:
    """Masks B M ... as they are remembered, zero where nothing is known, and known itself (B ...) as one more row."""
    rows = known[:, None].to(masks.dtype)
    return torch.cat([masks * rows, rows], 1)
