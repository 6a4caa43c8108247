"""Against timm's networks of the same names: weights, initial draws and maps."""

from __future__ import annotations

import pytest
import timm
import torch

from univs.models.efficientnet_lite import SCALES, EfficientNetLite


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
