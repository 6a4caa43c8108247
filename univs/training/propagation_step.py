"""One training step of a space-time memory: the first mask given, its own masks remembered along the clip.

As STM and MiVOS are trained (STM, section 3.4): of three frames the first is remembered with its true masks, the second
is answered and remembered with the answer, the third is answered from both. Every read is over the whole memory: the
top k are for inference.
Shapes: B clips, T frames, M targets (0 padded), S pixels of a side, P positions at stride 16, Ck Cv channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from univs.losses import bootstrapped_cross_entropy, mean_over, soft_dice_loss
from univs.losses.counting import ALONE, Counting
from univs.masks.frame_labels import soft_aggregate
from univs.masks.meanings import IGNORE
from univs.models.space_time_decoder import Skips, one_logit
from univs.models.space_time_memory import QueryFeatures, SpaceTimeMemory, rows
from univs.settings import Weight
from univs.training.aim import read_aim

PADDING_LOGIT = -12.0
"""Logit given to the rows of padding targets, so that they never compete."""


@dataclass(frozen=True)
class PropagationLosses:
    """What a step weighs."""

    cross_entropy: Weight = 1.0
    """Bootstrapped; over background and objects."""
    dice: Weight = 0.0
    """Of each object's joint probability; neither STM nor MiVOS has it."""


class PropagationStep:
    """Losses of a batch of clips.

    Args:
        model: trained in place.
        settings: weights.
        counting: of the objects that losses are means over.
    """

    def __init__(self, model: SpaceTimeMemory, settings: PropagationLosses, counting: Counting = ALONE) -> None:
        self.model, self.settings, self.counting = model, settings, counting

    def __call__(self, batch: dict[str, Any], kept_share: float) -> dict[str, Tensor]:
        """Weighted losses by name; their sum is what is minimised.

        Args:
            batch: of `collate_clips`, two frames at least.
            kept_share: of the pixels in the bootstrapped cross-entropy.
        """
        aim = read_aim(batch["labels"], batch["targets"])
        clips, length = batch["frames"].shape[:2]
        images = self.model.images(batch["frames"].flatten(0, 1)).unflatten(0, (clips, length))
        keys, values = remember(self.model, images[:, 0], aim.masks[:, :, 0])
        totals = []
        for t in range(1, length):
            joint = answer(self.model, self.model.encode_query(images[:, t]), keys, values, aim.valid)
            truth = aim.classes[:, t], aim.masks[:, :, t], aim.valid
            totals.append(mask_losses(joint, *truth, self.settings, kept_share, self.counting))
            if t + 1 < length:
                new = remember(self.model, images[:, t], joint.softmax(1)[:, 1:])
                keys, values = torch.cat([keys, new[0]], 2), torch.cat([values, new[1]], 2)
        return {name: torch.stack([frame[name] for frame in totals]).mean() for name in totals[0]}


def remember(model: SpaceTimeMemory, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Images B 3 S S with masks B M S S -> keys B M P Ck, values B M P Cv."""
    shown = images.repeat_interleave(masks.shape[1], 0)
    keys, values = model.remember(shown, model.planes(masks).flatten(0, 1))
    return keys.unflatten(0, masks.shape[:2]), values.unflatten(0, masks.shape[:2])


def answer(model: SpaceTimeMemory, query: QueryFeatures, keys: Tensor, values: Tensor, valid: Tensor) -> Tensor:
    """Joint log-odds B M+1 S S of frames with this memory; `valid` B M says which rows are objects."""
    count = valid.shape[1]
    asked = rows(query.key) / math.sqrt(query.key.shape[1])  # B P Ck
    affinity = (asked[:, None] @ keys.transpose(2, 3)).softmax(-1)
    read = (affinity @ values).transpose(2, 3).unflatten(3, query.key.shape[-2:])  # B M Cv h w
    both = torch.cat([read, query.value[:, None].expand(-1, count, -1, -1, -1)], 2).flatten(0, 1)
    skips = Skips(*(maps.repeat_interleave(count, 0) for maps in (query.skips.stride8, query.skips.stride4)))
    logits = one_logit(model.decoder(both, skips)).unflatten(0, valid.shape).float()
    return soft_aggregate(logits.masked_fill(~valid[:, :, None, None], PADDING_LOGIT))


def mask_losses(
    joint: Tensor,
    classes: Tensor,
    masks: Tensor,
    valid: Tensor,
    weights: PropagationLosses,
    kept_share: float,
    counting: Counting,
) -> dict[str, Tensor]:
    """Weighted losses of joint log-odds B M+1 S S against labels B S S and masks B M S S of objects (`Aim`)."""
    losses = {"cross_entropy": weights.cross_entropy * bootstrapped_cross_entropy(joint, classes, kept_share)}
    if weights.dice > 0:
        probabilities = joint.softmax(1)[:, 1:] * (classes != IGNORE)[:, None]
        shares = soft_dice_loss(probabilities.flatten(0, 1).flatten(1), masks.flatten(0, 1).flatten(1))
        losses["dice"] = weights.dice * mean_over(shares.view_as(valid), valid, counting)
    return losses
