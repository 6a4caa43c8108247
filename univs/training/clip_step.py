"""One training step on short clips: prompt on frame 0, then the loop as at inference, with its own masks fed on.

On an empty memory a prompt is answered by its query and by its rough map: that is trained on some frames of the clip,
with prompts of their own (`prompted_frames`). Along the clip, the prompt of frame 0, the queries of the model's own
masks and the dense memory answer together.
Shapes: B clips, T frames, M targets (prompt queries), S pixels of a side, Ck, Cv, Cl as in `dense_memory`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from univs.losses import (
    CriterionWeights,
    bootstrapped_cross_entropy,
    correspondence_loss,
    prompt_losses,
    soft_dice_loss,
)
from univs.models.dense_memory import MemoryKey, MemoryValue
from univs.models.features import ImageFeatures, Prediction, PromptQueries, PromptTokens
from univs.models.univs import UniVS
from univs.streaming.aggregation import soft_aggregate
from univs.training.aim import IGNORE, Aim, read_aim
from univs.training.prompted_frames import FrameLosses, PromptedFrames, draw_prompts
from univs.training.prompting import draw_kind

PADDING_LOGIT = -12.0
"""Logit given to the rows of padding targets, so that they never compete."""


@dataclass(frozen=True)
class ClipLosses:
    """What a clip step weighs and draws."""

    criterion: CriterionWeights = field(default_factory=lambda: CriterionWeights(1.0, 1.0, 1.0, 1024))
    prompt_kinds: dict[str, float] = field(
        default_factory=lambda: {"mask": 0.4, "box": 0.25, "point": 0.25, "scribble": 0.1}
    )
    local_radius: int = 5
    correspondence: float = 0.5
    intermediate: float = 0.2
    prompt: float = 1.0
    learnable: float = 0.2
    prompt_frames: int = 2
    prompt_objects: int = 4


class ClipStep:
    """Losses of a batch of clips.

    Args:
        model: with a dense memory.
        settings: weights and draws.
        seed: of the prompt draws.
    """

    def __init__(self, model: UniVS, settings: ClipLosses, seed: int = 0) -> None:
        if model.dense_memory is None:
            raise ValueError("the clip step trains the dense memory, and this model has none")
        self.model, self.dense, self.settings = model, model.dense_memory, settings
        self.rng = np.random.default_rng(seed)
        single = FrameLosses(
            settings.criterion,
            settings.prompt_kinds,
            settings.prompt_objects,
            settings.intermediate,
            settings.prompt,
            settings.learnable,
        )
        self.frames = PromptedFrames(model, single, self.rng)

    def __call__(self, batch: dict[str, Tensor], kept_share: float) -> dict[str, Tensor]:
        """Weighted losses by name; their sum is what is minimised.

        Args:
            batch: frames B T 3 S S uint8, labels B T S S, targets B M (0 padded), complete B.
            kept_share: of the pixels in the bootstrapped cross-entropy.
        """
        clips, length = batch["frames"].shape[:2]
        aim = read_aim(batch["labels"], batch["targets"])
        # frame-major order, so that the features of one time step are one slice
        images = self.model.normalize(batch["frames"].transpose(0, 1).flatten(0, 1))
        features = self.model.encode_image(images)
        steps = [features.frames(slice(t * clips, (t + 1) * clips)) for t in range(length)]
        keys = self.dense.memory_key(features)
        key_steps = [keys.frames(slice(t * clips, (t + 1) * clips)) for t in range(length)]

        shown = [t * clips + b for t in spread(length, self.settings.prompt_frames) for b in range(clips)]
        index = torch.tensor(shown, device=images.device)
        labels = batch["labels"].transpose(0, 1).flatten(0, 1)[index]
        complete = batch["complete"].repeat(len(shown) // clips)
        losses = self.frames(features.frames(index), keys.frames(index), labels, complete)
        if length == 1:
            return losses
        first = self._prompt(steps[0], aim)
        values = [self.dense.memory_value(steps[0], aim.quarter[:, :, 0])]
        tokens, totals = first, []
        for t in range(1, length):
            dense, correspondence = self._read(steps[t], key_steps[: t + 1], values, aim, t)
            predictions = self._decode(steps[t], tokens, dense)
            logits = predictions[-1].mask_logits[:, :, 0]
            logits = logits.masked_fill(~aim.valid[:, :, None, None], PADDING_LOGIT)
            joint = soft_aggregate(logits)
            frame_losses = self._tracked(joint, predictions[:-1], aim, t, kept_share)
            frame_losses["correspondence"] = self.settings.correspondence * correspondence
            totals.append(frame_losses)
            if t + 1 < length:
                answer = joint.softmax(1)[:, 1:]
                values.append(self.dense.memory_value(steps[t], answer))
                tokens = [[given[0], self._tokens_of_masks(steps[t], answer[b], b)] for b, given in enumerate(first)]
        for name in totals[0]:
            losses[name] = torch.stack([frame[name] for frame in totals]).mean()
        return losses

    def _prompt(self, features: ImageFeatures, aim: Aim) -> list[list[PromptTokens]]:
        """Prompts of one kind for every clip's targets on frame 0."""
        kind = draw_kind(self.rng, self.settings.prompt_kinds)
        return [
            [draw_prompts(self.model, features.frames(slice(b, b + 1)), masks, kind, self.rng)[0]]
            for b, masks in enumerate(aim.masks[:, :, 0])
        ]

    def _tokens_of_masks(self, features: ImageFeatures, masks: Tensor, clip: int) -> PromptTokens:
        """Tokens of the model's own masks M S/4 S/4 on one frame."""
        full = masks.detach().repeat_interleave(4, -1).repeat_interleave(4, -2)
        return self.model.encode_masks(features.frames(slice(clip, clip + 1)), full)

    def _decode(self, features: ImageFeatures, tokens: list[list[PromptTokens]], dense: Tensor) -> list[Prediction]:
        prompts = PromptQueries.batch([self.model.prompt_queries(of_clip) for of_clip in tokens])
        return self.model.decode(features, prompts=prompts, dense=dense, all_predictions=True)

    def _read(
        self, features: ImageFeatures, keys: list[MemoryKey], values: list[MemoryValue], aim: Aim, t: int
    ) -> tuple[Tensor, Tensor]:
        """The dense residual at time t, and how well true masks come through both affinities."""
        memory = torch.cat([key.memory for key in keys[:t]], dim=1)
        affinity = self.dense.global_affinity(keys[t], memory)
        glob = self.dense.read_all(keys[t], affinity, torch.cat([value.glob for value in values], dim=2))
        window = self.dense.local_window(keys[t], keys[t - 1], self.settings.local_radius)
        readout = self.dense.readout(keys[t], glob, window, values[-1].local)
        residual = self.dense.residual(features, readout)

        truth16 = F.avg_pool2d(aim.quarter.flatten(1, 2), 4).unflatten(1, aim.quarter.shape[1:3])  # B M T h16 w16
        remembered = truth16[:, :, :t].flatten(2)[..., None]  # B M t*P 1
        carried = self.dense.read_all(keys[t], affinity, remembered)[..., 0]
        truth8 = F.avg_pool2d(aim.quarter[:, :, t - 1 : t + 1].flatten(1, 2), 2).unflatten(1, (-1, 2))
        locally = window.read(truth8[:, :, 0])
        loss = correspondence_loss(carried[aim.valid], truth16[:, :, t].flatten(2)[aim.valid])
        return residual, loss + correspondence_loss(locally[aim.valid], truth8[:, :, 1][aim.valid])

    def _tracked(
        self, joint: Tensor, intermediate: list[Prediction], aim: Aim, t: int, kept_share: float
    ) -> dict[str, Tensor]:
        """Losses of one later frame from the joint log-odds B M+1 S/4 S/4."""
        full = F.interpolate(joint, scale_factor=4, mode="bilinear", align_corners=False)
        cross_entropy = bootstrapped_cross_entropy(full, aim.classes[:, t], kept_share)
        known = (aim.classes[:, t] != IGNORE)[:, None]
        probabilities = full.softmax(1)[:, 1:] * known
        dice = soft_dice_loss(probabilities[aim.valid].flatten(1), aim.masks[:, :, t][aim.valid].flatten(1)).mean()
        losses = {"cross_entropy": cross_entropy, "dice": dice}
        if self.settings.intermediate > 0:
            points = self.settings.criterion.points
            terms = [prompt_losses(p.mask_logits, aim.masks[:, :, t : t + 1], aim.valid, points) for p in intermediate]
            total = torch.stack([term["mask"] + term["dice"] for term in terms]).sum()
            losses["intermediate"] = self.settings.intermediate * total
        return losses


def spread(length: int, count: int) -> list[int]:
    """`count` of the frames 0..length-1, first and last among them, evenly spread (fewer where there are fewer)."""
    return sorted({round(t) for t in np.linspace(0, length - 1, min(count, length))})
