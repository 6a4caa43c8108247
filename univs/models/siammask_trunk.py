"""What SiamMask sees of a crop: maps at strides 2, 4 and 8, the last of them twice, without and with dilated stages.

Both trunks give maps of the same sizes whose cells lie at the same pixels, so that the heads need not know which it is:
cell i is centred at pixel 2i + 3, 4i + 3 or 8i + 7 of the crop. No padding moves them, which is what lets the
correlation of a template with a crop say where the object is. Shapes: F crops, C channels, S side of a crop in pixels
(127, 143 or 255: odd, and 15 more than a multiple of 16).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.models.backbone import SCALES, STEM, EfficientNetLite, SameConv2d
from univs.models.resnet import BLOCKS, CHANNELS, Bottleneck, NormRelu, StillNorms
from univs.models.resnet import STEM as RESNET_STEM

RESNET = "resnet50"
STRIDE = 8
"""Pixels of a crop to a cell of the last map."""


class SiameseResNet(StillNorms):
    """ResNet-50 up to its third stage, which keeps stride 8 and is dilated instead (SiamMask, table 7).

    Nothing is padded where the stride is 2; where a stage starts, the shortcut has a 3 x 3 kernel.
    """

    channels = (RESNET_STEM, *CHANNELS)
    """Of the four maps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, RESNET_STEM, 7, 2, bias=False)
        self.bn1 = NormRelu(RESNET_STEM)
        fine, middle, last = CHANNELS
        first = (
            Bottleneck(RESNET_STEM, fine),
            Bottleneck(fine, middle, 2, padding=0, shortcut=3),
            Bottleneck(middle, last, shortcut=3),
        )
        self.stages = nn.ModuleList()
        for begin, blocks, out, dilation in zip(first, BLOCKS, CHANNELS, (1, 1, 2), strict=True):
            others = (Bottleneck(out, out, padding=dilation, dilation=dilation) for _ in range(blocks - 1))
            self.stages.append(nn.Sequential(begin, *others))
        self.train(self.training)

    def forward(self, images: Tensor) -> list[Tensor]:
        """F 3 S S -> maps at strides 2, 4, 8, 8."""
        x = self.bn1(self.conv1(images.contiguous(memory_format=torch.channels_last)))
        maps = [x]
        x = F.max_pool2d(x, 3, 2, padding=1)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class SiameseLite(StillNorms):
    """An EfficientNet-Lite whose stages behind stride 8 keep that stride and are dilated instead.

    Args:
        name: one of `backbone.SCALES`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.body = EfficientNetLite(name, coarsest=2 * STRIDE)
        for stage in self.body.blocks[self.body.ends[STRIDE] + 1 :]:
            dilate(stage)
        self.channels = (STEM, *self.body.channels)
        self.body.to(memory_format=torch.channels_last)  # depthwise convolutions are several times faster so
        self.train(self.training)

    def forward(self, images: Tensor) -> list[Tensor]:
        """F 3 S S, normalised -> maps at strides 2, 4, 8, 8.

        Of its "same" padding, all lies right and below where the sides are even; the cells there, and the first ones of
        the stem, are those that a network without padding does not have.
        """
        even = F.pad(images, (0, 1, 0, 1)).contiguous(memory_format=torch.channels_last)
        x = self.body.bn1(self.body.conv_stem(even))
        maps = [x[..., 1:-2, 1:-2]]
        for index, stage in enumerate(self.body.blocks):
            x = stage(x)
            if index in self.body.ends.values():
                maps.append(x[..., :-1, :-1])
        return maps


def dilate(stage: nn.Module) -> None:
    """Take the stride out of the first depthwise convolution of a stage, and dilate those behind it; in place."""
    for number, block in enumerate(stage.children()):
        old = block.conv_dw
        assert isinstance(old, nn.Conv2d)
        dilation = 1 if number == 0 and isinstance(old, SameConv2d) else 2
        kernel, channels = old.kernel_size[0], old.in_channels
        padding = dilation * (kernel // 2)
        new = nn.Conv2d(channels, channels, kernel, 1, padding, dilation, channels, bias=False)
        new.weight = old.weight
        block.conv_dw = new


def make_siamese_trunk(name: str) -> SiameseResNet | SiameseLite:
    """The trunk of a name. ValueError for an unknown one."""
    if name == RESNET:
        return SiameseResNet()
    if name not in SCALES:
        raise ValueError(f"unknown trunk {name!r}: one of {', '.join((RESNET, *SCALES))}")
    return SiameseLite(name)
