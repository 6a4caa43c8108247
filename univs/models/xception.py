"""Xception-65 as DeepLab has it: separable convolutions in units of three (Chollet, CVPR 2017; Chen et al., ECCV 2018).

A separable convolution sees each channel alone (depthwise 3 x 3), then all of them (pointwise), each with a batch norm.
Every strided convolution pads one cell on both sides, so that even and odd sizes align alike.

Shapes: B images, C channels, h w size of a map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.models.resnet import NormRelu

EPS = 1e-3
"""Of the batch norms of the backbone; those behind it have 1e-5."""
ENTRY = ((128, 128, 128), (256, 256, 256), (728, 728, 728))
MIDDLE = ((728, 728, 728),) * 16
EXIT = ((728, 1024, 1024), (1536, 1536, 2048))
STRIDES = (2, 2, 2, *(1 for _ in MIDDLE), 2, 1)
"""Of the units, were the result to have stride 32."""
LOW_CHANNELS, HIGH_CHANNELS = ENTRY[1][1], EXIT[1][2]
"""Of the two maps that it gives."""


class SeparableConvolution(nn.Module):
    """Depthwise k x k and pointwise, each with a batch norm.

    Args:
        active: whether a ReLU follows each of the norms.
    """

    def __init__(self, channels: int, out: int, dilation: int = 1, *, active: bool, eps: float = 1e-5) -> None:
        super().__init__()
        norm = NormRelu if active else nn.BatchNorm2d
        self.depthwise = nn.Conv2d(
            channels, channels, 3, padding=dilation, dilation=dilation, groups=channels, bias=False
        )
        self.depthwise_norm = norm(channels, eps=eps)
        self.pointwise = nn.Conv2d(channels, out, 1, bias=False)
        self.pointwise_norm = norm(out, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """B channels h w -> B out h' w'."""
        return self.pointwise_norm(self.pointwise(self.depthwise_norm(self.depthwise(x))))

    def step(self, stride: int, dilation: int) -> None:
        """Shrink by `stride`, look at cells `dilation` apart."""
        depthwise = self.depthwise
        depthwise.stride, depthwise.dilation, depthwise.padding = (stride,) * 2, (dilation,) * 2, (dilation,) * 2


class Unit(nn.Module):
    """Three separable convolutions and what came in.

    Args:
        widths: channels behind each of the three.
        shortcut: "sum": what came in, as it came; "conv": through a 1 x 1 convolution; "none".
        active: ReLUs within the convolutions, instead of one before each.
    """

    def __init__(self, channels: int, widths: tuple[int, int, int], shortcut: str, *, active: bool = False) -> None:
        super().__init__()
        ins = (channels, *widths[:2])
        self.separable = nn.ModuleList(
            [SeparableConvolution(a, b, active=active, eps=EPS) for a, b in zip(ins, widths, strict=True)]
        )
        self.active, self.kind = active, shortcut
        if shortcut == "conv":
            self.shortcut = nn.Conv2d(channels, widths[2], 1, bias=False)
            self.shortcut_norm = nn.BatchNorm2d(widths[2], eps=EPS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """B channels h w -> the unit's result, and that of its second convolution."""
        steps, y = [], x
        for separable in self.separable:
            y = separable(y if self.active else F.relu(y))
            steps.append(y)
        if self.kind == "conv":
            y = y + self.shortcut_norm(self.shortcut(x))
        elif self.kind == "sum":
            y = y + x
        return y, steps[1]

    def step(self, stride: int, dilation: int) -> None:
        """The third convolution shrinks by `stride`; all look at cells `dilation` apart."""
        for number, separable in enumerate(self.separable):
            assert isinstance(separable, SeparableConvolution)
            separable.step(stride if number == 2 else 1, dilation)
        if self.kind == "conv":
            self.shortcut.stride = (stride, stride)


class Xception65(nn.Module):
    """The backbone.

    Args:
        output_stride: of the last map, 8 or 16. Weights are the same for both.
    """

    def __init__(self, output_stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, 2, padding=1, bias=False)
        self.norm1 = NormRelu(32, eps=EPS)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1, bias=False)
        self.norm2 = NormRelu(64, eps=EPS)
        units, channels = [], 64
        for widths in (*ENTRY, *MIDDLE, *EXIT):
            kind = "sum" if widths in MIDDLE and channels == widths[2] else "conv"
            last = widths == EXIT[1]
            units.append(Unit(channels, widths, "none" if last else kind, active=last))
            channels = widths[2]
        self.units = nn.ModuleList(units)
        self.arrange(output_stride)

    def arrange(self, output_stride: int) -> None:
        """Give the last map another stride: behind it, units look farther instead of shrinking.

        A unit that no longer shrinks passes its stride on to the dilation of those after it. ValueError for a stride
        other than 8 and 16.
        """
        if output_stride not in (8, 16):
            raise ValueError(f"output_stride is {output_stride}, which Xception-65 has not: 8 or 16")
        reached, dilation = 2, 1
        for unit, stride in zip(self.units, STRIDES, strict=True):
            assert isinstance(unit, Unit)
            if reached < output_stride:
                unit.step(stride, 1)
                reached *= stride
            else:
                unit.step(1, dilation)
                dilation *= stride

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """B 3 H W -> what entry unit 2 has behind its second convolution (stride 4, no ReLU), and the last map."""
        images = images.contiguous(memory_format=torch.channels_last)  # the order that depthwise convolutions like
        x = self.norm2(self.conv2(self.norm1(self.conv1(images))))
        low = x
        for number, unit in enumerate(self.units):
            x, second = unit(x)
            if number == 1:
                low = second
        return low, x
