"""The stages of a ResNet-50 against timm's."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from univs.models.resnet import CHANNELS, ResNet, ResNetStages, channels_of


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    """timm's ResNet-50 with statistics that are not those of a new network."""
    torch.manual_seed(0)
    network = timm.create_model("resnet50", pretrained=False, features_only=True, out_indices=(1, 2, 3)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.0)
            for tensor in (module.bias, module.running_mean):
                nn.init.normal_(tensor, std=0.1)
    return network.requires_grad_(False)


def test_the_maps_are_those_of_a_resnet50(reference: nn.Module) -> None:
    ours = ResNetStages().requires_grad_(False)
    names = {f"layer{number + 1}.": f"stages.{number}." for number in range(3)}
    given = {}
    for name, value in reference.state_dict().items():
        start = next((start for start in names if name.startswith(start)), "")
        given[names.get(start, "") + name.removeprefix(start)] = value
    ours.load_state_dict(given)
    image = torch.randn(2, 3, 64, 96)
    ours.train()  # statistics stay as they are
    for got, want, channels in zip(ours(image), reference(image), CHANNELS, strict=True):
        assert got.shape[1] == channels
        torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
    assert torch.equal(ours.bn1.running_mean, reference.state_dict()["bn1.running_mean"])


def test_every_convolution_may_have_a_bias_and_more_inputs() -> None:
    network = ResNetStages(5, bias=True)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 1 + 3 * (3 + 4 + 6) + 3 and all(one.bias is not None for one in convolutions)
    assert network.conv1.in_channels == 5
    assert all(one.bias is None for one in ResNetStages().modules() if isinstance(one, nn.Conv2d))


def test_four_stages_are_those_of_a_resnet26_whose_norms_learn() -> None:
    torch.manual_seed(0)
    reference = timm.create_model("resnet26", pretrained=False, features_only=True, out_indices=(0, 1, 2, 3, 4))
    ours = ResNet((2, 2, 2, 2))
    renamed = {name.replace("layer1", "stages.0"): value for name, value in reference.state_dict().items()}
    for number in (2, 3, 4):
        renamed = {name.replace(f"layer{number}", f"stages.{number - 1}"): v for name, v in renamed.items()}
    ours.load_state_dict({name: value.clone() for name, value in renamed.items()})
    image = torch.randn(2, 3, 64, 96)
    wanted = reference.train()(image)
    ours.train()
    for got, want, channels in zip((ours.stem(image), *ours(image)), wanted, (64, *channels_of(4)), strict=True):
        assert got.shape[1] == channels
        torch.testing.assert_close(got, want, atol=1e-3, rtol=1e-3)
    assert not torch.equal(ours.bn1.running_mean, torch.zeros(64))
