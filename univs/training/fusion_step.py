"""One training step of the fusion network, on what the propagation itself makes of clips.

The first and the last frame of a clip stand for two interacted ones. The masks of the first are carried forward to all
frames, those of the last backward, and on a frame between them the two become one. What the second interaction changed
is the true mask of the last frame less what had come there from the first (Cheng et al., CVPR 2021, section 3.3 and the
authors' answers on its training). The propagation keeps its weights.
Shapes: B clips, T frames, M targets (0 padded), S pixels of a side.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from univs.losses.counting import ALONE, Counting
from univs.masks.frame_labels import soft_aggregate
from univs.models.fusion import FusionNetwork
from univs.models.space_time_memory import SpaceTimeMemory, aligned
from univs.training.aim import PADDING_LOGIT, Aim, read_aim
from univs.training.propagation_step import MaskWeights, affinity, answer, mask_losses, remember

APART = 0.1
"""Masks differ in a pixel whose probabilities are farther apart."""
LEAST_APART = 100
"""Pixels; frames on which the two masks differ in fewer are drawn a hundred times less often than others."""


class FusionStep:
    """Losses of a batch of clips.

    Args:
        network: trained in place.
        propagation: what carries the masks.
        settings: weights.
        counting: of the objects that losses are means over.
    """

    def __init__(
        self,
        network: FusionNetwork,
        propagation: SpaceTimeMemory,
        settings: MaskWeights,
        counting: Counting = ALONE,
    ) -> None:
        self.network, self.propagation = network, propagation.eval().requires_grad_(False)
        self.settings, self.counting = settings, counting

    def __call__(self, batch: dict[str, Any], kept_share: float) -> dict[str, Tensor]:
        """Weighted losses of the fused masks by name.

        Args:
            batch: of `collate_clips`, three frames at least.
            kept_share: of the pixels that count.
        """
        aim = read_aim(batch["labels"], batch["targets"])
        clips, length = batch["frames"].shape[:2]
        with torch.no_grad():
            images = self.propagation.images(batch["frames"].flatten(0, 1)).unflatten(0, (clips, length))
            forward = self._carried(images, aim)
            backward = self._carried(images.flip(1), replace(aim, masks=aim.masks.flip(2))).flip(2)
            chosen = drawn_frames(forward, backward)
            seen = torch.stack([self._seen(images[b], aim, forward, backward, b, int(t)) for b, t in enumerate(chosen)])
        logits = self.network(seen.flatten(0, 1))[:, 0].unflatten(0, seen.shape[:2]).float()
        joint = soft_aggregate(logits.masked_fill(~aim.valid[:, :, None, None], PADDING_LOGIT))
        classes = torch.stack([aim.classes[b, t] for b, t in enumerate(chosen)])
        masks = torch.stack([aim.masks[b, :, t] for b, t in enumerate(chosen)])
        return mask_losses(joint, classes, masks, aim.valid, self.settings, kept_share, self.counting)

    def _carried(self, images: Tensor, aim: Aim) -> Tensor:
        """Probabilities B M T S S of all frames, from the true masks of the first of B T 3 S S."""
        keys, values = remember(self.propagation, images[:, 0], aim.masks[:, :, 0])
        masks = [aim.masks[:, :, 0]]
        for t in range(1, images.shape[1]):
            query = self.propagation.encode_query(images[:, t])
            joint = answer(self.propagation, query, affinity(query, keys), values, aim.valid)
            masks.append(joint.softmax(1)[:, 1:])
            new = remember(self.propagation, images[:, t], masks[-1])
            keys, values = torch.cat([keys, new[0]], 2), torch.cat([values, new[1]], 2)
        return torch.stack(masks, 2)

    def _seen(self, images: Tensor, aim: Aim, forward: Tensor, backward: Tensor, b: int, t: int) -> Tensor:
        """M 9 S S: what the network sees of frame t of clip b (`models.fusion.INPUTS`)."""
        last = len(images) - 1
        difference = aim.masks[b, :, last] - forward[b, :, last]
        keys, _ = remember(self.propagation, images[None, last], aim.masks[None, b, :, last])
        query = self.propagation.encode_query(images[None, t])
        times = images.new_tensor([t / last, 1 - t / last])[:, None, None].expand(2, *images.shape[-2:])
        rows = []
        for m, key in enumerate(keys[0]):
            both = torch.stack([difference[m].clamp(0, 1), (-difference[m]).clamp(0, 1)])
            moved = aligned(query.key, key, both)
            rows.append(torch.cat([images[t], forward[b, m, None, t], backward[b, m, None, t], moved, times]))
        return torch.stack(rows)


def drawn_frames(forward: Tensor, backward: Tensor) -> Tensor:
    """A frame between the first and the last for each of B clips, rather one on which the two masks differ.

    Args:
        forward, backward: B M T S S probabilities.
    Returns:
        B indices, 1 .. T - 2.
    """
    apart = ((forward - backward).abs() > APART).any(1).flatten(2).sum(2)[:, 1:-1]  # B T-2 pixels
    return 1 + torch.multinomial(torch.where(apart >= LEAST_APART, 1.0, 0.01), 1)[:, 0]
