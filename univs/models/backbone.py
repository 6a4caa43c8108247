"""Image backbones: features at strides 4, 8, 16, 32, or the first of these.

EfficientNet-Lite (Tan & Le, ICML 2019, in its form for phones: no squeeze-and-excitation, ReLU6 throughout) is written
out, since importing timm for it takes longer than answering the first frame. Names of parts and arithmetic are those of
timm's `tf_efficientnet_lite0` to `4`, so weights go from one to the other. timm is asked for every other name. For
inference each convolution becomes one with its batch norm and activation (`FusedConvolution`, put in by
`prepared.for_inference`).

Shapes: F frames, C channels, h w size of a map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from univs.errors import UserError

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
COARSEST = 32
"""Stride of the last map."""
NORM_EPS = 1e-3
ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.Identity: ("none", []),
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}
"""What may be applied inside: kind of module -> name and numbers of the operator."""


class Backbone(nn.Module):
    """A network as a feature pyramid whose batch norms never leave their stored statistics.

    Args:
        name: as timm names it, built without pretrained weights.
        channels_last: keep weights and images in channels-last memory order (depthwise networks run about 2.5 times
            faster on a CPU that way).
        freeze_norm: also keep the scales and shifts of the batch norms from being trained (official frozen BN).
        coarsest: stride of the last map (`EfficientNetLite` alone).
    Raises UserError for another network that is to end earlier.
    """

    def __init__(
        self, name: str, *, channels_last: bool = False, freeze_norm: bool = False, coarsest: int = COARSEST
    ) -> None:
        super().__init__()
        if name in SCALES:
            lite = EfficientNetLite(name, coarsest=coarsest)
            self.body: nn.Module = lite
            self.channels = lite.channels
        elif coarsest != COARSEST:
            raise UserError(f"one of {', '.join(SCALES)} can end at stride {coarsest}, which {name!r} is not")
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
        """F 3 H W -> four maps F C_i h w at strides 4, 8, 16, 32 (fewer where it ends earlier)."""
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


class EfficientNetLite(nn.Module):
    """Maps at strides 4, 8, 16 and 32, or the first of these; with `classified` also the last convolution before a
    classifier.

    Args:
        name: one of `SCALES`.
        classified: whether `conv_head` and `bn2` are there; the maps do not need them.
        inputs: channels of an image.
        coarsest: stride of the last map; the stages behind it are left out.
    """

    def __init__(self, name: str, *, classified: bool = False, inputs: int = 3, coarsest: int = COARSEST) -> None:
        super().__init__()
        wider, deeper = SCALES[name]
        self.conv_stem = convolution(inputs, STEM, 3, 2)
        self.bn1 = NormAct(STEM)
        widths, strides = [STEM], [2]
        stages = []
        for number, stage in enumerate(STAGES):
            if strides[-1] * stage.stride > coarsest:
                break
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
        """F 3 H W (or as many channels as there are inputs) -> maps F C_i h w at strides 4, 8, 16, 32, or the first."""
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


def rounded(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of 8, or the next one where that would take away more than a tenth."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest


def convolution(channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution with "same" padding, which for stride 1 is the plain symmetric one."""
    if stride == 1:
        return nn.Conv2d(channels, out, kernel, padding=kernel // 2, groups=groups, bias=False)
    return SameConv2d(channels, out, kernel, stride, groups=groups, bias=False)


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


class FusedConvolution(nn.Module):
    """A convolution, its batch norm in eval mode and its activation, as one operator.

    Args:
        convolution: without padding or with symmetric or TensorFlow's "same" padding.
        norm: the batch norm behind it.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None and norm.running_var is not None
        fused = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        weight, bias = (parameter.detach() for parameter in fused)
        activation = getattr(norm, "act", nn.Identity())
        self._name, self._numbers = ACTIVATIONS[type(activation)]
        self._stride, self._dilation = list(convolution.stride), list(convolution.dilation)
        self._groups = convolution.groups
        self._same = isinstance(convolution, SameConv2d)
        if self._same:
            # even maps, stride 2: k - 2 cells are missing, (k - 3) / 2 before and one more behind
            weight = F.pad(weight, (1, 0, 1, 0))
        self._padding = (
            [(side - 1) // 2 for side in weight.shape[-2:]]
            if self._same
            else [int(side) for side in convolution.padding]
        )
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)

    @staticmethod
    def fits(convolution: nn.Module, norm: nn.Module) -> bool:
        """Whether the two modules can become one."""
        return (
            type(convolution) in (nn.Conv2d, SameConv2d)  # another's own kind may pad in its own way
            and isinstance(norm, nn.BatchNorm2d)
            and norm.num_features == convolution.out_channels
            and type(getattr(norm, "act", nn.Identity())) in ACTIVATIONS
            and convolution.padding_mode == "zeros"
            and (
                convolution.stride == (2, 2) and convolution.kernel_size[0] % 2 == 1 and convolution.dilation == (1, 1)
                if isinstance(convolution, SameConv2d)
                else not isinstance(convolution.padding, str)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """F C h w -> F C' h' w'; h and w even where the padding is "same"."""
        if x.device.type == "cpu" and HAS_POINTWISE:
            return torch.ops.mkldnn._convolution_pointwise(
                x,
                self.weight,
                self.bias,
                self._padding,
                self._stride,
                self._dilation,
                self._groups,
                self._name,
                self._numbers,
                "",
            )
        out = F.conv2d(x, self.weight, self.bias, self._stride, self._padding, self._dilation, self._groups)
        if self._name == "relu":
            return out.relu_()
        return out.clamp_(*self._numbers) if self._numbers else out


def has_pointwise() -> bool:
    """Whether this torch has oneDNN's convolution with an activation inside."""
    try:
        one = torch.ones(1, 1, 1, 1)
        out = torch.ops.mkldnn._convolution_pointwise(
            one, one, torch.ones(1), [0, 0], [1, 1], [1, 1], 1, "hardtanh", [0.0, 1.5], ""
        )
    except (AttributeError, RuntimeError):
        return False
    return bool(torch.backends.mkldnn.is_available() and out.item() == 1.5)


HAS_POINTWISE = has_pointwise()
