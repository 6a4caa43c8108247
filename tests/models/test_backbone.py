from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
import torch
from torch import nn

from univs.errors import UserError
from univs.models.backbone import LITE0_PACKAGE, Backbone, load_lite0_imagenet


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


def test_imagenet_weights_fit_in_order() -> None:
    try:
        files = importlib.metadata.files(LITE0_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{LITE0_PACKAGE} is not installed (extra train)")
    backbone = Backbone("tf_efficientnet_lite0")
    load_lite0_imagenet(backbone)
    (path,) = [file.locate() for file in files if file.suffix == ".pth"]
    given = torch.load(Path(str(path)), weights_only=True)
    ours = backbone.body.state_dict()
    assert len(given) == 296 and len(ours) == 288  # the head is left out
    for theirs, value in zip(given.values(), ours.values(), strict=False):
        assert torch.equal(theirs, value)
    with pytest.raises(UserError, match="tf_efficientnet_lite0"):
        load_lite0_imagenet(Backbone("resnet18"))


def test_missing_imagenet_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("univs.models.backbone.LITE0_PACKAGE", "no-such-package-here")
    with pytest.raises(UserError, match=r"pip install univs\[train\]"):
        load_lite0_imagenet(Backbone("tf_efficientnet_lite0"))
