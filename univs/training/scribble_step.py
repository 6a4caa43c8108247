"""A step of stage `scribble_to_mask`: the network sees a frame, a mask so far and strokes, and learns the true mask.

Source: Cheng, Tai and Tang, "Modular Interactive Video Object Segmentation", CVPR 2021, section 3.1. S pixels of a
side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from univs.data.scribble_images import build_scribble_images, collate_scribbles
from univs.errors import UserError
from univs.formats.sample import IGNORE
from univs.losses import bootstrapped_cross_entropy, dice_loss
from univs.models.scribble_to_mask import ScribbleToMask
from univs.models.scribble_to_mask_light import LightScribbleToMask
from univs.models.segmenter_files import build_segmenter, load_segmenter
from univs.settings import Share, Weight
from univs.training.imagenet_weights import lite0_imagenet

Network = ScribbleToMask | LightScribbleToMask
MOST = 16.0
"""Of log-odds: probabilities are held away from 0 and 1 by 1e-7."""


@dataclass(frozen=True)
class ScribbleStageSettings:
    """What the stage has beside the others' settings; first_rounds: share of the samples without a mask so far."""

    first_rounds: Share


@dataclass(frozen=True)
class ScribbleLosses:
    """Weights of the losses."""

    cross_entropy: Weight = 1.0
    """Bootstrapped, of object and background after soft aggregation."""
    dice: Weight = 0.0


class ScribbleStep:
    """(batch, kept share) -> weighted losses by name; the batch is that of `collate_scribbles`."""

    def __init__(self, network: Network, losses: ScribbleLosses) -> None:
        self.network, self.weights = network, losses

    def __call__(self, batch: Mapping[str, Any], kept_share: float) -> dict[str, Tensor]:
        """Losses of a batch; `kept_share` of all its pixels count in the cross-entropy."""
        frames, masks = batch["frames"], batch["masks"]
        mean, std = (
            frames.new_tensor(v, dtype=torch.float32) for v in (self.network.pixel_mean, self.network.pixel_std)
        )
        images = (frames.float() - mean[:, None, None]) / std[:, None, None]
        logits = self.network(torch.cat([images, batch["maps"].float()], dim=1)).float()[:, 0]
        found = {}
        if self.weights.cross_entropy:
            odds = logits.clamp(-MOST, MOST)
            both = torch.stack([-odds, odds], dim=1)  # odds of the background are those of the object not being there
            loss = bootstrapped_cross_entropy(both, masks, kept_share, IGNORE, together=True)
            found["cross_entropy"] = self.weights.cross_entropy * loss
        if self.weights.dice:
            known, truth = (masks != IGNORE).flatten(1), (masks == 1).float().flatten(1)
            found["dice"] = self.weights.dice * dice_loss(logits.flatten(1), truth, known).mean()
        return found


def scribbles(
    settings: Mapping[str, Any], device: torch.device, world: int
) -> tuple[Network, ScribbleStep, Dataset[Any], Callable[[Sequence[Any]], dict[str, Any]]]:
    """Network, step, data and collation of the stage, for one of `world` processes. UserError for a model that takes no
    scribbles."""
    stage = settings["stage"]
    if stage.get("checkpointing"):
        raise UserError("stage.checkpointing: the batch norms of this stage learn, and would twice; leave it out")
    network = start(settings["model"], settings["init"]).to(device)
    if world > 1 and device.type == "cuda":
        network = with_common_norms(network)
    data = build_scribble_images(
        settings["data"]["sources"],
        size=stage["size"],
        first_rounds=stage["first_rounds"],
        seed=settings["seed"],
    )
    return network, ScribbleStep(network, ScribbleLosses(**stage["losses"])), data, collate_scribbles


def start(numbers: Mapping[str, Any], init: str | None) -> Network:
    """A network with initial weights: `imagenet` (light ones), those of a file of such a network, or drawn ones."""
    network = build_segmenter(numbers)
    if not isinstance(network, Network):
        raise UserError(f"the model {numbers.get('name')} takes no scribbles: model=scribble_to_mask or its light one")
    if init == "imagenet":
        load_imagenet(network)
    elif init is not None:
        given = load_segmenter(init).state_dict()
        own = network.state_dict()
        if given.keys() != own.keys() or any(given[name].shape != own[name].shape for name in own):
            raise UserError(f"the weights {init} are of another network than {numbers.get('name')}")
        network.load_state_dict(given)
    elif isinstance(network, ScribbleToMask):
        with torch.no_grad():  # official: what no pretrained network has is orthogonal
            nn.init.orthogonal_(network.backbone.conv1.weight[:, 3:])  # type: ignore[union-attr, index]
            last: Any = network.classifier.classifier[-1]
            nn.init.orthogonal_(last.weight)
            nn.init.zeros_(last.bias)
    return network


def with_common_norms(network: Network) -> Network:
    """The network with batch norms that learn from the batches of all processes (official); names and weights stay.

    The backbone of a light network keeps its stored statistics, and its norms.
    """
    for name, module in network.named_children():
        if name != "backbone" or isinstance(network, ScribbleToMask):
            setattr(network, name, nn.SyncBatchNorm.convert_sync_batchnorm(module))
    return network


def load_imagenet(network: Network) -> None:
    """Start the backbone from ImageNet; the channels of mask and strokes keep their own weights. UserError where there
    are none for it."""
    if not isinstance(network, LightScribbleToMask):
        raise UserError(
            "init=imagenet is for scribble_to_mask_light; give a weights file of this network, or init=null"
        )
    body = network.backbone.body
    ours, given = body.state_dict(), lite0_imagenet()
    stem = ours["conv_stem.weight"].clone()
    stem[:, :3] = given["conv_stem.weight"]
    body.load_state_dict({**{name: given[name] for name in ours}, "conv_stem.weight": stem})
