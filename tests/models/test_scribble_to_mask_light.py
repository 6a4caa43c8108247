"""The light network: what its size is, that its parts add up, and that its strokes are seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from univs.models.backbone import Backbone
from univs.models.own_files import save
from univs.models.scribble_to_mask_light import LightPooling, LightScribbleToMask, UpStep, widened


@pytest.fixture(scope="module")
def network() -> LightScribbleToMask:
    torch.manual_seed(0)
    return LightScribbleToMask().eval().requires_grad_(False)


def test_it_is_small_enough_to_ship(network: LightScribbleToMask, tmp_path: Path) -> None:
    save(network, tmp_path / "light.safetensors", {})
    assert (tmp_path / "light.safetensors").stat().st_size < 8 * 2**20


def test_the_stem_keeps_what_it_knew_of_colours() -> None:
    torch.manual_seed(0)
    stem = Backbone("tf_efficientnet_lite0").body.conv_stem
    wide = widened(stem)
    x = torch.rand(1, 6, 64, 64)
    maps_only = torch.cat([torch.zeros(1, 3, 64, 64), x[:, 3:]], dim=1)
    assert torch.allclose(wide(x) - wide(maps_only), stem(x[:, :3]), atol=1e-5)
    assert wide(maps_only).abs().max() > 0.01


def test_logits_are_those_of_stride_4_enlarged(network: LightScribbleToMask) -> None:
    x = torch.rand(2, 6, 64, 96)
    fine, middle, coarse, last = network.backbone(x)
    y = network.pooling(last)
    for step, level in zip(network.steps, (coarse, middle, fine), strict=True):
        y = step(y, level)
    assert y.shape[2:] == (16, 24)
    expected = F.interpolate(network.logit(y), (64, 96), mode="bilinear", align_corners=False)
    assert torch.allclose(network(x), expected, atol=1e-6)
    for channel in range(6):  # each of them changes the answer
        changed = x.clone()
        changed[:, channel, 16:32, 16:32] += 1
        assert (network(changed) - network(x)).abs().max() > 1e-5


def test_what_parts_add_up() -> None:
    torch.manual_seed(0)
    pooling = LightPooling(5, 8, (2,)).eval()
    x = torch.rand(1, 5, 6, 7)
    reduced = pooling.reduce(x)
    expected = reduced + pooling.everywhere(reduced) + sum(branch(reduced) for branch in pooling.around)
    assert len(pooling.around) == 2 and torch.allclose(pooling(x), expected, atol=1e-6)
    step = UpStep(3, 8).eval()
    coarse, fine = torch.rand(1, 8, 3, 4), torch.rand(1, 3, 6, 8)
    mixed = step.lateral(fine) + F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
    assert torch.allclose(step(coarse, fine), mixed + step.mix(mixed), atol=1e-6)
