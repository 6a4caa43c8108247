"""A step of stage `portrait`: the net sees a frame and a mask of the frame before, and learns where the people are.

In half of the steps the mask of the frame before is the net's own: its answer, without gradient, to the frame moved a
little, so that it learns from what it will see. S pixels of a side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from univs.data.portrait_images import build_portraits, collate_portraits
from univs.errors import UserError
from univs.formats.sample import IGNORE
from univs.losses import dice_loss
from univs.models import zoo
from univs.models.portrait import PortraitNet
from univs.settings import Share, Weight
from univs.training.processes import common_draw

BAND = 5
"""Pixels to either side of the edge of people, where the cross-entropy weighs more."""
IN_BAND = 3.0
TURN, SHIFT, SCALE = 0.1, 0.06, 0.06
"""Of the movement from the frame before: radians, share of the side, change of scale; largest ones."""


@dataclass(frozen=True)
class PortraitStageSettings:
    """What the stage has beside the others' settings.

    own_masks: share of the steps whose mask of the frame before is the net's own.
    """

    step: Literal["portrait"]
    own_masks: Share


@dataclass(frozen=True)
class PortraitLosses:
    """Weights of the losses."""

    cross_entropy: Weight = 1.0
    dice: Weight = 1.0
    edge: Weight = 0.1
    """Of the difference between the slopes of the mask and of the true one."""


class PortraitStep:
    """(batch, kept share) -> weighted losses by name; the batch is that of `collate_portraits`."""

    def __init__(self, network: PortraitNet, losses: PortraitLosses, own_masks: float) -> None:
        self.network, self.weights, self.own_masks = network, losses, own_masks

    def __call__(self, batch: Mapping[str, Any], kept_share: float) -> dict[str, Tensor]:
        """Losses of a batch."""
        frames, masks = batch["frames"].float(), batch["masks"]
        before = batch["before"].float() / 255
        if common_draw(batch) < self.own_masks:  # batch norms wait for each other: all processes ask as often
            before = self._own(frames, before)
        logits = self.network(frames, before).float()[:, 0]
        known, truth = masks != IGNORE, (masks == 1).float()
        found = {}
        if self.weights.cross_entropy:
            each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
            weight = known * (1 + (IN_BAND - 1) * near_edges(truth))
            found["cross_entropy"] = self.weights.cross_entropy * (each * weight).sum() / weight.sum().clamp_min(1)
        if self.weights.dice:
            found["dice"] = self.weights.dice * dice_loss(logits.flatten(1), truth.flatten(1), known.flatten(1)).mean()
        if self.weights.edge:
            apart = (slopes(logits.sigmoid()) - slopes(truth)).abs().mean(1)
            inside = -F.max_pool2d(-known[:, None].float(), 3, 1, 1)[:, 0]  # a slope is known where all neighbours are
            found["edge"] = self.weights.edge * (apart * inside).sum() / inside.sum().clamp_min(1)
        return found

    @torch.no_grad()
    def _own(self, frames: Tensor, before: Tensor) -> Tensor:
        """The net's answers to the frames moved a little, as masks of the frame before."""
        drawn = torch.rand(3, len(frames), device=frames.device) * 2 - 1
        angle, scale = TURN * drawn[0], 1 + SCALE * drawn[1]
        shift = 2 * SHIFT * (torch.rand(len(frames), 2, 1, device=frames.device) * 2 - 1)
        turned = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).unflatten(1, (2, 2))
        places = F.affine_grid(torch.cat([scale[:, None, None] * turned, shift], 2), list(frames.shape), False)
        seen = torch.cat([frames, 255 * before], 1)
        earlier = F.grid_sample(seen, places, padding_mode="reflection", align_corners=False)
        return self.network(earlier[:, :3], earlier[:, 3:] / 255).float().sigmoid()


def near_edges(truth: Tensor) -> Tensor:
    """B S S 0 or 1 -> 1 within `BAND` pixels of a change, else 0."""
    return _largest_near(truth) + _largest_near(-truth)


def _largest_near(values: Tensor) -> Tensor:
    """B S S -> the largest within `BAND` pixels, along rows and then along columns: a fifth of the window's work."""
    side = 2 * BAND + 1
    rows = F.max_pool2d(values[:, None], (1, side), 1, (0, BAND))
    return F.max_pool2d(rows, (side, 1), 1, (BAND, 0))[:, 0]


def slopes(masks: Tensor) -> Tensor:
    """B S S -> B 2 S S: Sobel's slopes in x and y, those of a step from 0 to 1 are 1 at most."""
    across = masks.new_tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    kernels = torch.stack([across, across.T])[:, None]
    return F.conv2d(F.pad(masks[:, None], (1, 1, 1, 1), mode="replicate"), kernels)


def portraits(
    settings: Mapping[str, Any], device: torch.device, world: int
) -> tuple[PortraitNet, PortraitStep, Dataset[Any], Callable[[Sequence[Any]], dict[str, Any]]]:
    """Network, step, data and collation of the stage. UserError for another model, and for settings that it has not."""
    stage = settings["stage"]
    if stage.get("checkpointing"):
        raise UserError("stage.checkpointing: the batch norms of this stage learn, and would twice; leave it out")
    network = zoo.build_network(settings["model"])
    if not isinstance(network, PortraitNet):
        raise UserError(f"stage portrait trains the portrait net, which {settings['model'].get('name')} is not")
    if settings["init"] == "imagenet":
        raise UserError("init=imagenet is for networks with a backbone; the portrait net takes init=null or init=FILE")
    if settings["init"] is not None:
        zoo.start_from(network, settings["init"])
    network = network.to(device)
    if world > 1 and device.type == "cuda":
        network = torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)
    data = build_portraits(settings["data"]["sources"], size=stage["size"], seed=settings["seed"])
    step = PortraitStep(network, PortraitLosses(**stage["losses"]), stage["own_masks"])
    return network, step, data, collate_portraits
