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
import torch.nn.functional as F
from torch import Tensor

from univs.losses import bootstrapped_cross_entropy, correspondence_loss, mean_over, soft_dice_loss
from univs.losses.counting import ALONE, Counting
from univs.masks.frame_labels import soft_aggregate
from univs.masks.meanings import IGNORE
from univs.models.space_time_decoder import Skips, one_logit
from univs.models.space_time_memory import STRIDE, QueryFeatures, SpaceTimeMemory, rows
from univs.settings import Weight
from univs.training.aim import PADDING_LOGIT, Aim, read_aim
from univs.training.tracking import known_cells


@dataclass(frozen=True)
class MaskWeights:
    """What the losses of masks weigh."""

    cross_entropy: Weight = 1.0
    """Bootstrapped; over background and objects."""
    dice: Weight = 0.0
    """Of each object's joint probability; neither STM nor MiVOS has it."""


@dataclass(frozen=True)
class PropagationLosses(MaskWeights):
    """What a step weighs."""

    correspondence: Weight = 0.0
    """Of true masks carried through the affinity, which teaches small networks what to match; neither has it."""


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
            query = self.model.encode_query(images[:, t])
            weights = affinity(query, keys)
            joint = answer(self.model, query, weights, values, aim.valid)
            truth = aim.classes[:, t], aim.masks[:, :, t], aim.valid
            losses = mask_losses(joint, *truth, self.settings, kept_share, self.counting)
            if self.settings.correspondence > 0:
                carried = correspondence(weights, aim, t, self.counting)
                losses["correspondence"] = self.settings.correspondence * carried
            totals.append(losses)
            if t + 1 < length:
                new = remember(self.model, images[:, t], joint.softmax(1)[:, 1:])
                keys, values = torch.cat([keys, new[0]], 2), torch.cat([values, new[1]], 2)
        return {name: torch.stack([frame[name] for frame in totals]).mean() for name in totals[0]}


def remember(model: SpaceTimeMemory, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Images B 3 S S with masks B M S S -> keys B M P Ck, values B M P Cv."""
    shown = images.repeat_interleave(masks.shape[1], 0)
    keys, values = model.remember(shown, model.planes(masks).flatten(0, 1))
    return keys.unflatten(0, masks.shape[:2]), values.unflatten(0, masks.shape[:2])


def affinity(query: QueryFeatures, keys: Tensor) -> Tensor:
    """What each of P positions of a frame reads of the R of a memory, for each object: B M P R, rows that add up to 1.

    keys: B M R Ck.
    """
    asked = rows(query.key) / math.sqrt(query.key.shape[1])  # B P Ck
    return (asked[:, None] @ keys.transpose(2, 3)).softmax(-1)


def answer(model: SpaceTimeMemory, query: QueryFeatures, weights: Tensor, values: Tensor, valid: Tensor) -> Tensor:
    """Joint log-odds B M+1 S S of frames that read so (`affinity`); `valid` B M says which rows are objects."""
    count = valid.shape[1]
    read = (weights @ values).transpose(2, 3).unflatten(3, query.key.shape[-2:])  # B M Cv h w
    both = torch.cat([read, query.value[:, None].expand(-1, count, -1, -1, -1)], 2).flatten(0, 1)
    skips = Skips(*(maps.repeat_interleave(count, 0) for maps in (query.skips.stride8, query.skips.stride4)))
    logits = one_logit(model.decoder(both, skips)).unflatten(0, valid.shape).float()
    return soft_aggregate(logits.masked_fill(~valid[:, :, None, None], PADDING_LOGIT))


def correspondence(weights: Tensor, aim: Aim, t: int, counting: Counting) -> Tensor:
    """`correspondence_loss` of the true masks of the frames before t, carried to it by B M P t*P weights.

    What is carried from known cells alone is compared, where they are at least half of what a place reads.
    """
    small = F.avg_pool2d(aim.masks.flatten(1, 2), STRIDE).unflatten(1, aim.masks.shape[1:3]).flatten(3)  # B M T P
    known = known_cells(aim.classes, STRIDE).flatten(2)  # B T P
    before = known[:, None, :t].flatten(2).to(weights.dtype)  # B 1 t*P
    share = (weights @ before[..., None])[..., 0]
    carried = (weights @ (small[:, :, :t].flatten(2) * before)[..., None])[..., 0] / share.clamp_min(0.5)
    compared = known[:, t] & ((share >= 0.5) | ~aim.valid[..., None]).all(1)
    return correspondence_loss(carried, small[:, :, t], aim.valid, compared, counting)


def mask_losses(
    joint: Tensor,
    classes: Tensor,
    masks: Tensor,
    valid: Tensor,
    weights: MaskWeights,
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
