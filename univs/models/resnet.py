"""Stages of a ResNet with bottlenecks (He et al., CVPR 2016; the stride is in the 3 x 3 convolution): strides 4, 8, ...

Written out because torchvision and timm have neither other channels at the input nor convolutions with biases, which
official weights of space-time memories need. Each batch norm carries the activation behind it, so that for inference it
goes into the convolution before it (`backbone.fuse_norms`).

Shapes: F frames, C channels, h w size of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from typing_extensions import Self

BLOCKS = (3, 4, 6)
"""Of the stages of a ResNet-50 at strides 4, 8, 16."""
STEM = 64
EXPANSION = 4


def channels_of(stages: int) -> tuple[int, ...]:
    """Of the maps of so many stages: 256, 512, 1024, 2048."""
    return tuple(STEM * EXPANSION << stage for stage in range(stages))


CHANNELS = channels_of(len(BLOCKS))


class StillNorms(nn.Module):
    """A network whose batch norms never leave their stored statistics, also while it is trained."""

    def train(self, mode: bool = True) -> Self:
        """As in torch, except that the batch norms stay in eval mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


class ResNet(nn.Module):
    """Stem and stages.

    Args:
        blocks: of each stage, the first at stride 4; ResNet-101 has 3, 4, 23, 3.
        inputs: channels of an image.
        bias: whether every convolution has one.
    """

    def __init__(self, blocks: Sequence[int], inputs: int = 3, *, bias: bool = False) -> None:
        super().__init__()
        self.channels = channels_of(len(blocks))
        self.conv1 = nn.Conv2d(inputs, STEM, 7, 2, padding=3, bias=bias)
        self.bn1 = NormRelu(STEM)
        channels, stages = STEM, []
        for number, (count, out) in enumerate(zip(blocks, self.channels, strict=True)):
            stride = 1 if number == 0 else 2
            first = Bottleneck(channels, out, stride, bias=bias)
            stages.append(nn.Sequential(first, *(Bottleneck(out, out, bias=bias) for _ in range(count - 1))))
            channels = out
        self.stages = nn.ModuleList(stages)

    def stem(self, images: Tensor) -> Tensor:
        """F C H W -> F 64 h w at stride 2."""
        # channels last: the order that fast convolutions like
        stem: Tensor = self.bn1(self.conv1(images.contiguous(memory_format=torch.channels_last)))
        return stem

    def forward(self, images: Tensor) -> list[Tensor]:
        """F C H W -> maps F 256 h w, F 512 h w, ... at strides 4, 8, ..., one of each stage."""
        x = F.max_pool2d(self.stem(images), 3, 2, padding=1)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class ResNetStages(StillNorms, ResNet):
    """Stem and three stages of a ResNet-50 whose batch norms never leave their stored statistics.

    Args:
        inputs: channels of an image.
        bias: whether every convolution has one.
    """

    def __init__(self, inputs: int = 3, *, bias: bool = False) -> None:
        super().__init__(BLOCKS, inputs, bias=bias)
        self.train(self.training)


class Bottleneck(nn.Module):
    """Fewer channels, 3 x 3, all channels again, and what came in.

    Args:
        stride, padding, dilation: of the 3 x 3 convolution.
        shortcut: kernel of the convolution that brings what came in to the size of what comes out; a larger one than 1
            is padded as the 3 x 3 convolution is.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        stride: int = 1,
        *,
        bias: bool = False,
        padding: int = 1,
        dilation: int = 1,
        shortcut: int = 1,
    ) -> None:
        super().__init__()
        inner = out // EXPANSION
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=bias)
        self.bn1 = NormRelu(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding, dilation, bias=bias)
        self.bn2 = NormRelu(inner)
        self.conv3 = nn.Conv2d(inner, out, 1, bias=bias)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels != out:
            beside = padding if shortcut > 1 else 0
            convolution = nn.Conv2d(channels, out, shortcut, stride, beside, bias=bias)
            self.downsample = nn.Sequential(convolution, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """F C h w -> F out h' w'."""
        y = self.bn3(self.conv3(self.bn2(self.conv2(self.bn1(self.conv1(x))))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


class NormRelu(nn.BatchNorm2d):
    """Batch norm and the ReLU behind it, as `act`."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__(channels, eps=eps)
        self.act = nn.ReLU(inplace=True)

    def forward(self, input: Tensor) -> Tensor:
        """F C h w, normalised, the negative cut off."""
        return self.act(super().forward(input))
