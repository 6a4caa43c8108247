"""One training step of RVOS: a clip answered frame by frame, one loss for each frame, one backward pass for all.

Ventura et al., CVPR 2019, sections 3.3 and 4.1, as released. One-shot, each slot sees the mask of its object on the
frame before: the true one (first stage of the curriculum) or its own answer, through which no gradient goes (second).
Zero-shot, the first frame tells which object each slot has found, and that holds for the clip.
Slots behind the last object of all clips change nothing and are not run.
Shapes: B clips, T frames, M targets (0 padded) and slots, S pixels of a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from univs.losses import balanced_cross_entropy, mean_of_valid, permuted, slot_costs, slot_targets, soft_iou_loss
from univs.losses.counting import ALONE, Counting
from univs.masks.meanings import IGNORE
from univs.models.rvos import RVOS
from univs.settings import Weight
from univs.training.aim import read_aim

Previous = Literal["truth", "own"]


@dataclass(frozen=True)
class RecurrentLosses:
    """What a step weighs."""

    soft_iou: Weight = 1.0
    balanced_cross_entropy: Weight = 0.0
    """Mean over the pixels of a slot; released, and not used."""


class RecurrentStep:
    """Losses of a batch of clips.

    Args:
        model: trained in place.
        settings: weights.
        previous: which mask of the frame before slots see, if they see any.
        counting: of the objects that losses are means over.
    """

    def __init__(
        self, model: RVOS, settings: RecurrentLosses, previous: Previous = "own", counting: Counting = ALONE
    ) -> None:
        self.model, self.settings, self.previous, self.counting = model, settings, previous, counting

    def __call__(self, batch: dict[str, Any], kept_share: float) -> dict[str, Tensor]:
        """Weighted losses by name, sums over the frames; their sum is what is minimised.

        Args:
            batch: of `collate_clips`.
            kept_share: not asked: all pixels count.
        """
        frames = self.frame_losses(batch)
        return {name: torch.stack([losses[name] for losses in frames]).sum() for name in frames[0]}

    def frame_losses(self, batch: dict[str, Any]) -> list[dict[str, Tensor]]:
        """Weighted losses by name of each frame."""
        aim = read_aim(batch["labels"], batch["targets"])
        masks, slots = aim.masks, aim.valid.shape[1]
        size = (masks.shape[-2], masks.shape[-1])
        hidden: tuple[Tensor, ...] | None = None
        seen = masks[:, :, 0]
        losses = []
        for t in range(masks.shape[2]):
            # each frame by itself: batch norms take the statistics of one frame of all clips
            skips = self.model.encode(self.model.images(batch["frames"][:, t]))
            logits, states = self.model.decode(skips, seen if self.model.sees_masks else None, hidden, slots)
            hidden = states.hidden
            logits = self.model.masks(logits, size).float()
            known = (aim.classes[:, t] != IGNORE)[:, None]
            if t == 0 and not self.model.sees_masks:
                found = (logits.detach().sigmoid() * known).flatten(2)
                order = slot_targets(slot_costs(found, masks[:, :, 0].flatten(2), aim.valid))
                masks = permuted(masks, order)
            losses.append(self._compare(logits, masks[:, :, t], known, aim.valid))
            seen = masks[:, :, t] if self.previous == "truth" else logits.detach().sigmoid()
        return losses

    def _compare(self, logits: Tensor, masks: Tensor, known: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Weighted losses of logits and masks B M S S; known: B 1 S S, where labels say something."""
        probabilities = (logits.sigmoid() * known).flatten(0, 1).flatten(1)
        shares = soft_iou_loss(probabilities, masks.flatten(0, 1).flatten(1)).view_as(valid)
        losses = {"soft_iou": self.settings.soft_iou * mean_of_valid(shares, valid, self.counting)}
        weight = self.settings.balanced_cross_entropy
        if weight > 0:
            each = balanced_cross_entropy(logits, masks) * known
            losses["balanced_cross_entropy"] = weight * mean_of_valid(each.mean((2, 3)), valid, self.counting)
        return losses
