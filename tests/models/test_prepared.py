"""The prepared model gives the same answers; it is made once, and anew when weights change."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from univs.errors import UserError
from univs.models.backbone import Backbone, FusedConvolution
from univs.models.mask_refiner import MaskRefiner
from univs.models.pixel_decoder import LightPixelDecoder
from univs.models.prepared import for_inference, prepared
from univs.models.univs import UniVS
from univs.models.word_head import WordHead
from univs.streaming import Session


def small_model(backbone: str) -> UniVS:
    torch.manual_seed(0)
    body = Backbone(backbone, channels_last=True)
    for norm in body.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None and norm.running_var is not None
            nn.init.uniform_(norm.running_mean, -0.2, 0.2)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.3, 0.3)
    pixels = LightPixelDecoder(body.channels, widths=[8, 8, 8, 8], dim=32, mask_dim=4)
    nothing: Any = nn.Identity()  # parts that these tests do not call
    return UniVS(body, pixels, nothing, nothing, pixel_mean=[0, 0, 0], pixel_std=[1, 1, 1]).eval()


@pytest.mark.parametrize(("backbone", "least"), [("tf_efficientnet_lite0", 48), ("resnet18", 20)])
@torch.inference_mode()
def test_the_fused_backbone_gives_the_same_maps(backbone: str, least: int) -> None:
    model = small_model(backbone)
    fused = for_inference(model)
    assert sum(isinstance(module, FusedConvolution) for module in fused.modules()) >= least
    assert not any(isinstance(module, FusedConvolution) for module in model.modules())
    images = torch.randn(2, 3, 64, 96)
    for ours, theirs in zip(fused.backbone(images), model.backbone(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))


@torch.inference_mode()
def test_without_the_operator_it_is_still_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = for_inference(small_model("tf_efficientnet_lite0"))
    images = torch.randn(1, 3, 32, 64)
    quick = fused.backbone(images)
    monkeypatch.setattr("univs.models.backbone.HAS_POINTWISE", False)
    for ours, theirs in zip(quick, fused.backbone(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))


@torch.inference_mode()
def test_the_given_model_is_left_as_it_is() -> None:
    model = small_model("tf_efficientnet_lite0").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast = for_inference(model)
    assert fast.mask_decoder is model.mask_decoder and fast.pixel_mean is model.pixel_mean
    assert model.training and model.pixel_decoder.blocks[0].conv1.weight.is_contiguous()
    assert fast.pixel_decoder.blocks[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert fast.pixel_decoder.blocks[0].conv1.bias is model.pixel_decoder.blocks[0].conv1.bias  # no copy
    after = model.state_dict()
    assert after.keys() == before.keys() and all((after[name] == before[name]).all() for name in before)


@torch.inference_mode()
def test_the_trunk_of_the_words_is_fused_too() -> None:
    model = small_model("tf_efficientnet_lite0")
    model.word_head = WordHead(32, 12, 8, trunk="tf_efficientnet_lite0").eval()
    fused = for_inference(model)
    assert fused.word_head is not None and fused.word_head.trunk is not None
    assert any(isinstance(module, FusedConvolution) for module in fused.word_head.trunk.modules())
    assert not any(isinstance(module, FusedConvolution) for module in model.word_head.modules())
    assert fused.word_head.words is model.word_head.words
    images = torch.randn(1, 3, 64, 96)
    theirs = model.word_head(model.pixel_decoder(model.backbone(images))).words
    ours = fused.word_head(fused.pixel_decoder(fused.backbone(images))).words
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))


@torch.inference_mode()
def test_the_trunk_of_the_closer_look_is_fused_unless_it_is_to_stay() -> None:
    model = small_model("tf_efficientnet_lite0")
    model.mask_refiner = MaskRefiner([], 64, (8, 8, 16), 1, trunk="tf_efficientnet_lite0").eval()
    torch.nn.init.normal_(model.mask_refiner.logit.weight)
    fused = for_inference(model)
    assert fused.mask_refiner is not None and fused.mask_refiner.trunk is not None
    assert any(isinstance(module, FusedConvolution) for module in fused.mask_refiner.trunk.modules())
    assert not any(isinstance(module, FusedConvolution) for module in model.mask_refiner.modules())
    squares, said = torch.randn(1, 3, 64, 64), torch.rand(1, 4, 16, 16)
    theirs = model.refine(squares, said)
    torch.testing.assert_close(fused.refine(squares, said), theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))
    kept = for_inference(model, but=("mask_refiner",))
    assert kept.mask_refiner is model.mask_refiner and kept.backbone is not model.backbone


@pytest.fixture
def model() -> UniVS:
    return small_model("tf_efficientnet_lite0")


def test_a_second_session_builds_nothing(model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Session(model, keep_results=False)._model
    monkeypatch.setattr("univs.models.prepared.for_inference", lambda model: pytest.fail("folded again"))
    assert Session(model, task="vis", keep_results=False)._model is first
    assert any(isinstance(part, FusedConvolution) for part in first.modules())


def by_optimizer(model: UniVS) -> None:
    optimizer = torch.optim.AdamW(model.backbone.parameters(), lr=0.1)
    sum(parameter.sum() for parameter in model.backbone.parameters()).backward()
    optimizer.step()


def by_loading(model: UniVS) -> None:
    model.load_state_dict({name: value * 1.02 for name, value in model.state_dict().items()})


def past_autograd(model: UniVS) -> None:
    next(model.backbone.parameters()).data[0, 0, 0, 0] += 1


def by_a_statistic(model: UniVS) -> None:
    model.backbone.body.bn1.running_mean += 1  # type: ignore[operator, union-attr]


def by_another_part(model: UniVS) -> None:
    model.backbone = small_model("tf_efficientnet_lite0").backbone
    next(model.backbone.parameters()).data += 1


@pytest.mark.parametrize("change", [by_optimizer, by_loading, past_autograd, by_a_statistic, by_another_part])
def test_changed_weights_are_noticed(model: UniVS, change: Callable[[UniVS], None]) -> None:
    images = torch.randn(1, 3, 64, 64)
    before = prepared(model).backbone(images)[-1]
    change(model)
    after = prepared(model).backbone(images)[-1]
    assert not torch.allclose(after, before)
    expected = model.backbone(images)[-1]
    assert torch.allclose(after, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_formats_are_kept_apart_and_share_their_weights(model: UniVS) -> None:
    plain, half = prepared(model), prepared(model, "bfloat16")
    assert half is not plain and prepared(model, "bfloat16") is half and prepared(model) is plain
    assert half.pixel_decoder is plain.pixel_decoder
    with pytest.raises(UserError, match="float16 is for GPUs"):
        prepared(model, "float16")


def test_it_goes_when_the_model_goes(model: UniVS) -> None:
    own = small_model("resnet18")
    kept = weakref.ref(prepared(own))
    del own
    gc.collect()
    assert kept() is None
