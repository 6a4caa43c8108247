"""The map at stride 4: sizes, what a pyramid sees, light backbones, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

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
