"""EfficientNet-Lite (Tan & Le, ICML 2019, in its form for phones): no squeeze-and-excitation, ReLU6 throughout.

Written out, since importing timm for it takes longer than answering the first frame. Names of parts and arithmetic are
those of timm's `tf_efficientnet_lite0` to `4`, so weights go from one to the other.

Shapes: F frames, C channels, h w size of a map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

SCALES = {
    "tf_efficientnet_lite0": (1.0, 1.0),
    "tf_efficientnet_lite1": (1.0, 1.1),
    "tf_efficientnet_lite2": (1.1, 1.2),
    "tf_efficientnet_lite3": (1.2, 1.4),
    "tf_efficientnet_lite4": (1.4, 1.8),
}
"""Name -> factors of the channels and of the blocks of a stage."""
STEM, CLASSIFIED = 32, 1280
"""Channels after the stem, and of what a classifier reads; the same in all sizes."""
NORM_EPS = 1e-3


@dataclass(frozen=True)
class Stage:
    """Blocks that follow each other: their kernel, the stride of the first, factor of the channels inside, channels."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: of what is missing, the odd cell lies right and below."""

    def forward(self, input: Tensor) -> Tensor:
        """F C h w -> F C' ceil(h / stride) ceil(w / stride)."""
        places = zip(input.shape[-2:], self.kernel_size, self.stride, strict=True)
        missing = [max((math.ceil(size / stride) - 1) * stride + kernel - size, 0) for size, kernel, stride in places]
        above, left = (count // 2 for count in missing)
        padded = F.pad(input, (left, missing[1] - left, above, missing[0] - above))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class NormAct(nn.BatchNorm2d):
    """Batch norm and what follows it, ReLU6 or nothing, as `act`."""

    def __init__(self, channels: int, *, active: bool = True) -> None:
        super().__init__(channels, eps=NORM_EPS)
        self.act = nn.ReLU6(inplace=True) if active else nn.Identity()

    def forward(self, input: Tensor) -> Tensor:
        """F C h w, normalised and cut."""
        return self.act(super().forward(input))


class SeparableBlock(nn.Module):
    """Each channel alone, then all of them: the first stage."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.skips = stride == 1 and channels == out
        self.conv_dw = convolution(channels, channels, kernel, stride, groups=channels)
        self.bn1 = NormAct(channels)
        self.conv_pw = convolution(channels, out)
        self.bn2 = NormAct(out, active=False)

    def forward(self, x: Tensor) -> Tensor:
        """F C h w -> F out h' w'."""
        y = self.bn2(self.conv_pw(self.bn1(self.conv_dw(x))))
        return y + x if self.skips else y


class InvertedBlock(nn.Module):
    """More channels, each alone, then few again (Sandler et al., MobileNetV2)."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.skips = stride == 1 and channels == out
        inner = channels * expansion
        self.conv_pw = convolution(channels, inner)
        self.bn1 = NormAct(inner)
        self.conv_dw = convolution(inner, inner, kernel, stride, groups=inner)
        self.bn2 = NormAct(inner)
        self.conv_pwl = convolution(inner, out)
        self.bn3 = NormAct(out, active=False)

    def forward(self, x: Tensor) -> Tensor:
        """F C h w -> F out h' w'."""
        y = self.bn2(self.conv_dw(self.bn1(self.conv_pw(x))))
        y = self.bn3(self.conv_pwl(y))
        return y + x if self.skips else y


class EfficientNetLite(nn.Module):
    """Four maps at strides 4, 8, 16 and 32; with `classified` also the last convolution before a classifier.

    Args:
        name: one of `SCALES`.
        classified: whether `conv_head` and `bn2` are there; the maps do not need them.
    """

    def __init__(self, name: str, *, classified: bool = False) -> None:
        super().__init__()
        wider, deeper = SCALES[name]
        self.conv_stem = convolution(3, STEM, 3, 2)
        self.bn1 = NormAct(STEM)
        widths, strides = [STEM], [2]
        stages = []
        for number, stage in enumerate(STAGES):
            out, deep = rounded(stage.channels * wider), 0 < number < len(STAGES) - 1
            count = math.ceil(stage.blocks * deeper) if deep else stage.blocks
            blocks = [make_block(widths[-1], out, stage, stage.stride)]
            blocks += [make_block(out, out, stage, 1) for _ in range(count - 1)]
            stages.append(nn.Sequential(*blocks))
            widths.append(out)
            strides.append(strides[-1] * stage.stride)
        self.blocks = nn.Sequential(*stages)
        self.ends = {stride: index for index, stride in enumerate(strides[1:]) if stride >= 4}
        """Stride -> the last stage whose map has it."""
        self.channels = [widths[1 + index] for index in self.ends.values()]
        if classified:
            self.conv_head = convolution(widths[-1], CLASSIFIED)
            self.bn2 = NormAct(CLASSIFIED)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
                nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_out))

    def forward(self, images: Tensor) -> list[Tensor]:
        """F 3 H W -> maps F C_i h w at strides 4, 8, 16, 32."""
        x = self.bn1(self.conv_stem(images))
        maps = []
        for index, stage in enumerate(self.blocks):
            x = stage(x)
            if index in self.ends.values():
                maps.append(x)
        return maps


def make_block(channels: int, out: int, stage: Stage, stride: int) -> nn.Module:
    """One block of a stage."""
    if stage.expansion == 1:
        return SeparableBlock(channels, out, stage.kernel, stride)
    return InvertedBlock(channels, out, stage.kernel, stride, stage.expansion)


def convolution(channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution with "same" padding, which for stride 1 is the plain symmetric one."""
    if stride == 1:
        return nn.Conv2d(channels, out, kernel, padding=kernel // 2, groups=groups, bias=False)
    return SameConv2d(channels, out, kernel, stride, groups=groups, bias=False)


def rounded(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of 8, or the next one where that would take away more than a tenth."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest
