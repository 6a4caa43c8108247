"""Scribble to mask on an EfficientNet-Lite: what `scribble_to_mask.py` does, small enough to ship and for a CPU.

Pyramid pooling at stride 32 tells what the strokes are on; three finer maps, each added on the way up, tell where it
ends. All convolutions of the head are separable.

Shapes: B objects, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from univs.models.backbone import Backbone, EfficientNetLite, convolution
from univs.models.deeplab import normed
from univs.models.scribble_to_mask import INPUTS


class LightScribbleToMask(nn.Module):
    """An EfficientNet-Lite with six input channels and a small head.

    Args:
        backbone: as `univs.models.backbone.SCALES` names it.
        width: channels of the head.
        rates: dilations of the pyramid pooling, in cells of 32 pixels.
    """

    multiple = 32
    pixel_mean = (127.0, 127.0, 127.0)
    pixel_std = (128.0, 128.0, 128.0)

    def __init__(
        self, *, backbone: str = "tf_efficientnet_lite0", width: int = 96, rates: Sequence[int] = (2, 4)
    ) -> None:
        super().__init__()
        self.backbone = Backbone(backbone, channels_last=True)
        body = self.backbone.body
        if not isinstance(body, EfficientNetLite):
            raise ValueError(f"the backbone is a tf_efficientnet_lite0 to 4, not {backbone}")
        body.conv_stem = widened(body.conv_stem)
        fine, middle, coarse, last = self.backbone.channels
        self.pooling = LightPooling(last, width, rates)
        self.steps = nn.ModuleList(UpStep(channels, width) for channels in (coarse, middle, fine))
        self.logit = nn.Conv2d(width, 1, 1)
        nn.init.normal_(self.logit.weight, std=0.01)  # masks start undecided, not as noise
        nn.init.zeros_(self.logit.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """B 6 H W, the channels of `scribble_to_mask.INPUTS`, H and W multiples of 32 -> logits B 1 H W."""
        *finer, last = self.backbone(x)
        y = self.pooling(last)
        for step, level in zip(self.steps, reversed(finer), strict=True):
            y = step(y, level)
        return F.interpolate(self.logit(y), x.shape[2:], mode="bilinear", align_corners=False)


class LightPooling(nn.Module):
    """What is around a cell at several distances, and in the whole map, added up.

    Args:
        inputs, width: channels of the map and of the result.
        rates: dilations; 1 is there as well.
    """

    def __init__(self, inputs: int, width: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.reduce = normed(nn.Conv2d(inputs, width, 1, bias=False))
        self.around = nn.ModuleList(separable(width, rate) for rate in (1, *rates))
        self.everywhere = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """B inputs h w -> B width h w."""
        x = self.reduce(x)
        y = x + self.everywhere(x)
        for branch in self.around:
            y = y + branch(x)
        return y


class UpStep(nn.Module):
    """A coarse map, twice as large, and a finer one of the backbone become one.

    Args:
        channels, width: of the finer map, and of the coarse one and the result.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(channels, width, 1)
        self.mix = nn.Sequential(separable(width), separable(width))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """B width h/2 w/2 and B channels h w -> B width h w."""
        lateral = self.lateral(fine)
        x = lateral + F.interpolate(coarse, lateral.shape[2:], mode="bilinear", align_corners=False)
        return x + self.mix(x)


def separable(width: int, rate: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution of each channel, dilated, then one of all channels, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=rate, dilation=rate, groups=width, bias=False),
        *normed(nn.Conv2d(width, width, 1, bias=False)),
    )


def widened(stem: nn.Conv2d) -> nn.Conv2d:
    """A first convolution for `INPUTS` channels: its own weights for RGB, orthogonal ones for the maps of an object."""
    wide = convolution(INPUTS, stem.out_channels, stem.kernel_size[0], stem.stride[0])
    nn.init.orthogonal_(wide.weight)
    wide.weight.data[:, : stem.in_channels] = stem.weight.data
    return wide
