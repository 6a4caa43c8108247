"""Trunks of space-time memories: maps, channels, names, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from univs.models.backbone import Backbone
from univs.models.resnet import ResNetStages
from univs.models.space_time_trunk import LiteStages, make_trunk


def test_a_light_trunk_is_the_backbone_up_to_stride_16() -> None:
    torch.manual_seed(0)
    whole = Backbone("tf_efficientnet_lite0").eval().requires_grad_(False)
    trunk = make_trunk("tf_efficientnet_lite0")
    assert isinstance(trunk, LiteStages)
    given = whole.body.state_dict()
    own = trunk.body.state_dict()
    assert set(own) < set(given) and not any(name.startswith("blocks.5") for name in own)
    trunk.body.load_state_dict({name: given[name] for name in own})
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        maps = trunk(image)
        for got, want, channels in zip(maps, whole(image), trunk.channels, strict=False):
            torch.testing.assert_close(got, want, atol=2e-5 * float(want.abs().max()), rtol=1e-4)
            assert got.shape[1] == channels
    assert [tuple(one.shape[-2:]) for one in maps] == [(16, 24), (8, 12), (4, 6)] and trunk.channels == [24, 40, 112]


def test_batch_norms_never_leave_their_stored_statistics() -> None:
    trunk = make_trunk("tf_efficientnet_lite0", 5).train()
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    trunk(torch.randn(2, 5, 64, 64))
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())
    assert trunk.training and not any(m.training for m in trunk.modules() if isinstance(m, torch.nn.BatchNorm2d))


def test_what_is_no_trunk() -> None:
    assert isinstance(make_trunk("resnet50", 5, bias=True), ResNetStages)
    with pytest.raises(ValueError, match="unknown trunk 'vgg': one of resnet50, tf_efficientnet_lite0"):
        make_trunk("vgg")
    with pytest.raises(ValueError, match="have no biases; memory_bias must be false"):
        make_trunk("tf_efficientnet_lite0", bias=True)
