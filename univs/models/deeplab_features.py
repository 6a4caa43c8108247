"""DeepLabv3+ with separable convolutions: one map at stride 4 from a frame (Chen et al., ECCV 2018).

Pyramid pooling on the deepest map of a backbone, then two separable convolutions on it and on its finer maps, at the
size in which the corners of map and frame coincide. The backbone is Xception-65 (FEELVOS as released) or a light one.

Shapes: B images, C channels, H W pixels, h w = ceil(H / 4) ceil(W / 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.masks.aligned_corners import cells
from univs.models.backbone import SCALES
from univs.models.resnet import NormRelu, StillNorms
from univs.models.space_time_trunk import STRIDE, LiteStages
from univs.models.xception import HIGH_CHANNELS, LOW_CHANNELS, SeparableConvolution, Xception65

XCEPTION = "xception65"
RATES = {8: (12, 24, 36), 16: (6, 12, 18)}
"""Stride of the deepest map -> dilations of the pyramid."""
LITE_SPREAD = 6.5
"""Standard deviation of the maps of an EfficientNet-Lite of ImageNet, whose blocks end without a ReLU."""


class DeepLabFeatures(StillNorms):
    """A backbone, pyramid pooling and decoder, whose batch norms never leave their stored statistics.

    Args:
        backbone: xception65, or a light one (`backbone.SCALES`), which has stride 16.
        output_stride: of the deepest map, 8 or 16.
        width: channels of each branch of the pyramid, and of the result.
        low_widths: channels to which the finer maps are narrowed before they join: one number for Xception-65
            (stride 4), two for a light backbone (strides 4, 8).
        dropout: share of the pyramid's result left out in training.
    """

    def __init__(
        self, *, backbone: str, output_stride: int, width: int, low_widths: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        self.backbone: Xception65 | LiteBackbone
        if backbone == XCEPTION:
            self.backbone, lows, high = Xception65(output_stride), [LOW_CHANNELS], HIGH_CHANNELS
        else:
            if backbone not in SCALES:
                raise ValueError(f"unknown backbone {backbone!r}: one of {', '.join((XCEPTION, *SCALES))}")
            if output_stride != STRIDE:
                raise ValueError(f"output_stride is {output_stride}, which {backbone} has not: {STRIDE}")
            self.backbone = LiteBackbone(backbone)
            *lows, high = self.backbone.stages.channels
        if len(low_widths) != len(lows):
            raise ValueError(f"low_widths are {len(low_widths)} numbers; {backbone} takes {len(lows)}")
        rates = RATES[output_stride]
        self.pooled, self.pooled_norm = pointwise(high, width), NormRelu(width)
        self.near, self.near_norm = pointwise(high, width), NormRelu(width)
        self.around = nn.ModuleList([SeparableConvolution(high, width, rate, active=True) for rate in rates])
        self.project, self.project_norm = pointwise((2 + len(rates)) * width, width), NormRelu(width)
        self.dropout = nn.Dropout(dropout)
        self.lows = nn.ModuleList([pointwise(a, b) for a, b in zip(lows, low_widths, strict=True)])
        self.low_norms = nn.ModuleList([NormRelu(b) for b in low_widths])
        self.refine = nn.ModuleList(
            [SeparableConvolution(a, width, active=True) for a in (width + sum(low_widths), width)]
        )
        self._draw()
        self.train(self.training)

    def _draw(self) -> None:
        """First weights with which maps keep about the spread that the backbone's have, or 1 behind a light one: still
        norms don't see to it."""
        parts = [self.pooled, self.near, self.around, self.project, self.lows, self.refine]
        for convolution in (module for part in parts for module in part.modules()):
            if isinstance(convolution, nn.Conv2d):
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        if isinstance(self.backbone, LiteBackbone):
            firsts = [self.pooled, self.near, *self.lows]
            firsts += [branch.depthwise for branch in self.around if isinstance(branch, SeparableConvolution)]
            with torch.no_grad():
                for first in firsts:
                    first.get_parameter("weight").div_(LITE_SPREAD)

    def arrange(self, output_stride: int) -> None:
        """Give the deepest map another stride (8, 16), with the same weights. ValueError where there is no such."""
        if isinstance(self.backbone, Xception65):
            self.backbone.arrange(output_stride)
            for branch, rate in zip(self.around, RATES[output_stride], strict=True):
                assert isinstance(branch, SeparableConvolution)
                branch.step(1, rate)
        elif output_stride != STRIDE:
            raise ValueError(f"output_stride is {output_stride}, which a light backbone has not: {STRIDE}")

    def forward(self, images: Tensor) -> Tensor:
        """B 3 H W normalised -> B width h w, not negative."""
        *lows, high = self.backbone(images)
        size = tuple(cells(side) for side in images.shape[-2:])
        return self.decode(lows, self.pyramid(high), size)

    def pyramid(self, high: Tensor) -> Tensor:
        """The deepest map -> B width h' w', what is around a cell at several distances and in the whole map."""
        pooled = self.pooled_norm(self.pooled(high.mean((2, 3), keepdim=True))).expand(-1, -1, *high.shape[-2:])
        branches = [pooled, self.near_norm(self.near(high)), *(branch(high) for branch in self.around)]
        return self.dropout(self.project_norm(self.project(torch.cat(branches, 1))))

    def decode(self, lows: Sequence[Tensor], pyramid: Tensor, size: tuple[int, ...]) -> Tensor:
        """Finer maps and the pyramid -> B width h w of that size."""
        narrow = [norm(low(maps)) for maps, low, norm in zip(lows, self.lows, self.low_norms, strict=True)]
        parts = [F.interpolate(maps, size=size, mode="bilinear", align_corners=True) for maps in (pyramid, *narrow)]
        x = torch.cat(parts, 1)
        for separable in self.refine:
            x = separable(x)
        return x


class LiteBackbone(nn.Module):
    """An EfficientNet-Lite up to stride 16, for frames of any size."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.stages = LiteStages(name)

    def forward(self, images: Tensor) -> list[Tensor]:
        """B 3 H W -> maps at strides 4, 8, 16, of the frame filled up to whole cells on the right and below."""
        below, right = (-side % STRIDE for side in images.shape[-2:])
        return self.stages(F.pad(images, (0, right, 0, below)))


def pointwise(channels: int, out: int) -> nn.Conv2d:
    """A 1 x 1 convolution without bias."""
    return nn.Conv2d(channels, out, 1, bias=False)
