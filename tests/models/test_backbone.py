"""EfficientNet-Lite against timm's networks of the same names: weights, initial draws and maps; all networks: modes."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from univs.errors import UserError
from univs.models.backbone import SCALES, Backbone, EfficientNetLite


def norms_of(backbone: Backbone) -> list[nn.BatchNorm2d]:
    return [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]


def test_training_mode_leaves_batch_norms_alone() -> None:
    backbone = nn.Sequential(Backbone("tf_efficientnet_lite0", channels_last=True)).train()[0]
    assert isinstance(backbone, Backbone) and backbone.training
    norms = norms_of(backbone)
    assert len(norms) > 40 and not any(norm.training for norm in norms)
    before = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
    maps = backbone(torch.randn(1, 3, 64, 96))
    assert [m.shape[1:] for m in maps] == [(24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)]
    assert all(torch.equal(a, b.running_mean) for a, b in zip(before, norms, strict=True) if b.running_mean is not None)
    assert maps[0].is_contiguous(memory_format=torch.channels_last)


def test_frozen_norms_are_not_trained() -> None:
    frozen = {n for n, p in Backbone("resnet18", freeze_norm=True).named_parameters() if not p.requires_grad}
    assert frozen and all("bn" in name or "downsample.1" in name for name in frozen)
    assert all(p.requires_grad for p in Backbone("resnet18").parameters())


def test_memory_order_does_not_change_the_answer() -> None:
    torch.manual_seed(0)
    plain, fast = Backbone("tf_efficientnet_lite0"), Backbone("tf_efficientnet_lite0", channels_last=True)
    fast.load_state_dict(plain.state_dict())
    images = torch.randn(1, 3, 64, 64)
    for a, b in zip(plain(images), fast(images), strict=True):
        assert torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize(("name", "message"), [("no_such_net", "unknown backbone"), ("vit_tiny_patch16_224", "stride")])
def test_unusable_backbones_are_named(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Backbone(name)


def timm_maps(name: str) -> torch.nn.Module:
    return timm.create_model(name, pretrained=False, features_only=True, out_indices=(1, 2, 3, 4))


@pytest.mark.parametrize("name", SCALES)
def test_names_shapes_and_initial_spread_are_those_of_timm(name: str) -> None:
    torch.manual_seed(3)
    theirs, ours = timm_maps(name), EfficientNetLite(name)
    assert ours.channels == theirs.feature_info.channels()
    given, own = theirs.state_dict(), ours.state_dict()
    assert [(key, value.shape) for key, value in own.items()] == [(key, value.shape) for key, value in given.items()]
    for key, value in own.items():
        if value.ndim == 4:
            assert float(value.std()) == pytest.approx(float(given[key].std()), rel=0.25)
        else:
            assert torch.equal(value, given[key])


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_efficientnet_lite3"])
@pytest.mark.parametrize("size", [(64, 96), (61, 75)])  # the second: "same" padding of odd maps
@torch.inference_mode()
def test_maps_are_those_of_timm(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    theirs = timm_maps(name).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
    ours = EfficientNetLite(name).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, *size)
    for a, b in zip(ours(images), theirs(images), strict=True):
        assert a.shape == b.shape and float((a - b).abs().max()) <= 1e-6 * float(b.abs().max())


@torch.inference_mode()
def test_the_head_is_the_one_that_timm_has() -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    ours = EfficientNetLite("tf_efficientnet_lite0", classified=True).eval()
    given = {name: value for name, value in theirs.state_dict().items() if not name.startswith("classifier")}
    ours.load_state_dict(given)
    images = torch.randn(1, 3, 64, 96)
    expected = theirs.forward_features(images)
    assert torch.allclose(
        ours.bn2(ours.conv_head(ours(images)[-1])), expected, rtol=0, atol=1e-6 * expected.abs().max()
    )
