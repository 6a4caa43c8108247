"""The map at stride 4: sizes, what a pyramid sees, light backbones, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from univs.models import deeplab_features
from univs.models.deeplab_features import DeepLabFeatures

LIGHT: dict[str, Any] = {
    "backbone": "tf_efficientnet_lite0",
    "output_stride": 16,
    "width": 8,
    "low_widths": [4, 4],
    "dropout": 0.0,
}


@pytest.fixture(scope="module")
def light() -> DeepLabFeatures:
    torch.manual_seed(0)
    return DeepLabFeatures(**LIGHT).eval().requires_grad_(False)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (61, 90), (17, 33)])
def test_maps_have_a_cell_for_every_four_pixels(light: DeepLabFeatures, height: int, width: int) -> None:
    maps = light(torch.randn(2, 3, height, width))
    assert maps.shape == (2, 8, -(-height // 4), -(-width // 4)) and (maps >= 0).all()


def test_frames_are_seen_each_by_itself(light: DeepLabFeatures) -> None:
    images = torch.randn(3, 3, 48, 64)
    torch.testing.assert_close(light(images)[1:2], light(images[1:2]), atol=1e-5, rtol=1e-4)


def test_the_pyramid_sees_the_whole_map(light: DeepLabFeatures) -> None:
    """Far beyond all dilations one cell changes by the mean of the map alone."""
    high = torch.rand(1, 112, 50, 50)
    changed = high.clone()
    changed[..., -1, -1] += 1e3
    assert not torch.equal(light.pyramid(high)[..., 0, 0], light.pyramid(changed)[..., 0, 0])
    pooled = light.pooled_norm(light.pooled(high.mean((2, 3), keepdim=True)))
    branches = [pooled.expand(-1, -1, 50, 50), light.near_norm(light.near(high)), *(b(high) for b in light.around)]
    want = light.project_norm(light.project(torch.cat(branches, 1)))
    assert torch.equal(light.pyramid(high), want)
    assert [int(branch.depthwise.dilation[0]) for branch in light.around] == [6, 12, 18]


def test_first_weights_keep_the_spread() -> None:
    """Behind still norms nothing else would: ten layers of plain ones leave next to nothing of what comes in."""
    torch.manual_seed(1)
    features = DeepLabFeatures(**{**LIGHT, "width": 64, "low_widths": [16, 16]}).requires_grad_(False)
    lows = [6.5 * torch.randn(1, channels, side, side) for channels, side in ((24, 32), (40, 16))]
    pyramid = features.pyramid(6.5 * torch.randn(1, 112, 8, 8))
    for maps in (pyramid, features.decode(lows, pyramid, (32, 32))):
        assert 0.3 < float(maps.square().mean().sqrt()) < 2


def test_norms_stay_still_while_it_learns() -> None:
    features = DeepLabFeatures(**LIGHT).train()
    before = {name: value.clone() for name, value in features.state_dict().items()}
    features(torch.randn(2, 3, 48, 48)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in features.state_dict().items())
    assert features.dropout.training and features.lows[0].weight.grad is not None


def test_what_is_refused(light: DeepLabFeatures) -> None:
    for change, words in (
        ({"output_stride": 8}, "output_stride is 8, which tf_efficientnet_lite0 has not: 16"),
        ({"low_widths": [4]}, "low_widths are 1 numbers; tf_efficientnet_lite0 takes 2"),
        ({"backbone": "vgg"}, "unknown backbone 'vgg': one of xception65, tf_efficientnet_lite0"),
    ):
        with pytest.raises(ValueError, match=words):
            DeepLabFeatures(**{**LIGHT, **change})
    with pytest.raises(ValueError, match="which a light backbone has not: 16"):
        light.arrange(8)
    light.arrange(16)


def test_rates_follow_the_stride_of_the_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """12, 24, 36 at stride 8, half of that at 16 (DeepLabv3, section 3.3)."""

    class Bare(nn.Module):
        def __init__(self, stride: int) -> None:
            super().__init__()
            self.stride = stride

        def arrange(self, stride: int) -> None:
            self.stride = stride

    monkeypatch.setattr(deeplab_features, "Xception65", Bare)
    changes = {"backbone": "xception65", "output_stride": 8, "low_widths": [4]}
    features = DeepLabFeatures(**{**LIGHT, **changes})
    for stride, rates in ((8, [12, 24, 36]), (16, [6, 12, 18])):
        features.arrange(stride)
        assert features.backbone.stride == stride
        for name in ("dilation", "padding"):
            assert [getattr(branch.depthwise, name) for branch in features.around] == [(rate, rate) for rate in rates]
    assert features.near.in_channels == 2048 and features.lows[0].in_channels == 256


def test_corners_of_all_maps_are_those_of_the_frame(light: DeepLabFeatures) -> None:
    """What joins at stride 4: the pyramid first, then the finer maps; a ramp stays one, from corner to corner."""
    features = copy.deepcopy(light)
    features.refine = nn.ModuleList()
    ramp = torch.linspace(1, 5, 5)[None, None, :, None] + 10 * torch.linspace(0, 2, 3)
    lows = [torch.randn(1, channels, *size) for channels, size in ((24, (9, 5)), (40, (5, 3)))]
    joined = features.decode(lows, ramp.expand(1, 8, 5, 3), (9, 5))
    want = torch.linspace(1, 5, 9)[:, None] + 10 * torch.linspace(0, 2, 5)
    torch.testing.assert_close(joined[0, :8], want.expand(8, 9, 5))
    torch.testing.assert_close(joined[:, 8:12], features.low_norms[0](features.lows[0](lows[0])))
    coarse = features.low_norms[1](features.lows[1](lows[1]))
    torch.testing.assert_close(joined[:, 12:, ::2, ::2], coarse)


def test_frames_are_filled_up_on_the_right_and_below(light: DeepLabFeatures) -> None:
    images, whole = torch.randn(1, 3, 45, 50), torch.zeros(1, 3, 48, 64)
    whole[..., :45, :50] = images
    for found, want in zip(light.backbone(images), light.backbone.stages(whole), strict=True):
        assert torch.equal(found, want)


def test_dropout_is_for_training_alone() -> None:
    torch.manual_seed(0)
    features = DeepLabFeatures(**{**LIGHT, "dropout": 0.5}).requires_grad_(False)
    high = torch.rand(1, 112, 9, 9)
    kept = features.eval().pyramid(high)
    dropped = features.train().pyramid(high)[kept > 0] / kept[kept > 0]
    assert {round(float(share), 3) for share in dropped} == {0.0, 2.0}
    assert float(dropped.mean()) == pytest.approx(1, abs=0.2)
