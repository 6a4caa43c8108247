"""Blocks that are computed twice: which they are, that gradients stay, and what is kept for them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.conftest import build_small
from tests.training.moving_clips import make_clip, moving
from univs.data.clip_batches import collate_clips
from univs.losses import CriterionWeights
from univs.models.backbone import InvertedBlock, SeparableBlock
from univs.models.fusion import FusionNetwork
from univs.models.scribble_to_mask_light import LightScribbleToMask
from univs.models.univs import UniVS
from univs.training.clip_step import ClipLosses, ClipStep
from univs.training.recomputation import encoder_blocks, recomputing

LOSSES = ClipLosses(CriterionWeights(1.0, 1.0, 1.0, 16), local_radius=2)


@pytest.fixture(scope="module")
def model() -> UniVS:
    """Small but for its backbone, which is that of the model that ships."""
    return build_small(backbone="tf_efficientnet_lite0").train()


def learn(step: Any, model: UniVS) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
    """Losses and gradients of a step, and the bytes that its forward pass keeps for the backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    batch = collate_clips([make_clip(moving(2), (1, 2), "point")])
    torch.manual_seed(0)
    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = step(batch, 0.5)
    total = torch.stack(list(losses.values())).sum()
    size = sum(kept.values())
    total.backward()
    return losses, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}, size


def test_gradients_are_the_same_to_the_bit_and_less_is_kept(model: UniVS) -> None:
    step, before = ClipStep(model, LOSSES), copy.deepcopy(model.state_dict())
    losses, gradients, size = learn(step, model)
    again, recomputed, less = learn(recomputing(step, encoder_blocks(model)), model)
    assert any(name.startswith("backbone.") for name in gradients) and gradients.keys() == recomputed.keys()
    assert all(torch.equal(gradients[name], recomputed[name]) for name in gradients)
    assert all(torch.equal(losses[name], again[name]) for name in losses)
    assert less < 0.5 * size
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_step_that_fails_leaves_the_blocks_as_they_were(model: UniVS) -> None:
    def failing(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        assert all("forward" in vars(block) for block in blocks)
        raise ValueError

    blocks = encoder_blocks(model)
    with pytest.raises(ValueError):
        recomputing(failing, blocks)({}, 1.0)
    assert not any("forward" in vars(block) for block in blocks)


def test_the_blocks_of_the_encoder_and_none_within_another(model: UniVS) -> None:
    blocks = encoder_blocks(model)
    assert blocks[-1] is model.pixel_decoder
    assert all(isinstance(block, InvertedBlock | SeparableBlock) for block in blocks[:-1])
    assert len(blocks) == 17 == 1 + len({id(block) for block in blocks[:-1]})


def test_blocks_of_other_encoders() -> None:
    """Of a ResNet as timm builds it (here: its shape), of Swin, and of the trunk of words."""

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 3, 1)
            self.down = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Identity())

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.act = nn.Conv2d(3, 3, 1), nn.ReLU()
            self.layer1 = nn.Sequential(Residual(), Residual())
            self.stages = nn.ModuleList([nn.Sequential(Residual()), nn.LayerNorm(3)])

    other: Any = nn.Module()
    other.backbone, other.pixel_decoder = Network(), nn.Conv2d(3, 3, 1)
    other.word_head = nn.Module()
    other.word_head.trunk = nn.ModuleList([nn.Sequential(Residual())])
    network = other.backbone
    other.mask_refiner = nn.Module()
    other.mask_refiner.trunk = nn.ModuleList([nn.Sequential(Residual())])
    trunks = [other.word_head.trunk[0][0], other.mask_refiner.trunk[0][0]]
    wanted = [*network.layer1, network.stages[0][0], *trunks, other.pixel_decoder]
    assert encoder_blocks(other) == wanted
    other.word_head.trunk = other.mask_refiner.trunk = None
    assert encoder_blocks(other) == [wanted[i] for i in (0, 1, 2, 5)]
    del other.word_head, other.mask_refiner, other.pixel_decoder
    assert encoder_blocks(other) == wanted[:3]


def test_blocks_of_interactive_networks() -> None:
    fusion, scribbles = FusionNetwork(), LightScribbleToMask(width=32, rates=(2,))
    assert encoder_blocks(fusion) == [fusion.conv1, fusion.conv2, fusion.conv3]
    kinds = {type(block) for block in encoder_blocks(scribbles)}
    assert kinds == {SeparableBlock, InvertedBlock} and len(encoder_blocks(scribbles)) == 16
