"""The parts of DeepLabV3+ that networks of one mask share: a dilated ResNet-50, and pyramid pooling at its end.

Source: Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", ECCV 2018.
Names of parts are those of torchvision's ResNet and ASPP, which the official weights of both such networks have.

Shapes: B images, C channels, h w size of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

LOW_CHANNELS, HIGH_CHANNELS = 256, 2048
"""Channels of a ResNet-50 after its first stage (stride 4) and after its last."""


def dilated_resnet50(inputs: int, stride: int, *, deep_stem: bool = False) -> nn.Module:
    """A ResNet-50, B inputs H W -> [map after stage 1 at stride 4, map after stage 4], initial weights drawn.

    Args:
        inputs: channels of the image.
        stride: of the last map, 8 or 16: stages that would shrink further are dilated instead, their first block by
            half as much as the others.
        deep_stem: three 3 x 3 convolutions in place of one of 7 x 7 (ResNet-50s of GluonCV).
    """
    import timm

    name = "resnet50s" if deep_stem else "resnet50"
    body: Any = timm.create_model(
        name, pretrained=False, features_only=True, output_stride=stride, in_chans=inputs, out_indices=(1, 4)
    )
    return body


class PyramidPooling(nn.Module):
    """Atrous spatial pyramid pooling: what is around a cell at several distances, and in the whole map.

    Args:
        inputs, width: channels of the map, and of each branch and the result.
        rates: dilations of the 3 x 3 branches.
        dropout: share of the result left out in training.
    """

    def __init__(self, inputs: int, width: int, rates: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                normed(nn.Conv2d(inputs, width, 1, bias=False)),
                *(normed(nn.Conv2d(inputs, width, 3, padding=r, dilation=r, bias=False)) for r in rates),
                nn.Sequential(nn.AdaptiveAvgPool2d(1), *normed(nn.Conv2d(inputs, width, 1, bias=False))),
            ]
        )
        self.project = nn.Sequential(
            *normed(nn.Conv2d(len(self.convs) * width, width, 1, bias=False)), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """B inputs h w -> B width h w."""
        branches = [branch(x).expand(-1, -1, *x.shape[2:]) for branch in self.convs]
        return self.project(torch.cat(branches, dim=1))


def normed(convolution: nn.Conv2d) -> nn.Sequential:
    """A convolution, batch norm and ReLU."""
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())
