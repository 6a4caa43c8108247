"""Depthwise convolutions whose taps lie far apart, on a CPU: each tap is one product with the shifted map.

oneDNN's operator takes ever longer the farther apart they lie: for 2048 channels of 60 x 107 cells 0.3 s at 12 cells
and 1.4 s at 36, where nine shifted products take 0.1 to 0.2 s.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.models.backbone import FusedConvolution


class WideDepthwise(nn.Module):
    """What a fused depthwise convolution of odd side and stride 1 with a ReLU does, tap by tap.

    Args:
        weight: C 1 k k.
        bias: C.
        dilation: cells from a tap to the next.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, dilation: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.dilation = dilation

    @classmethod
    def of(cls, fused: FusedConvolution) -> WideDepthwise:
        """In place of a fused convolution that has such taps."""
        return cls(fused.weight, fused.bias, fused._dilation[0])

    def forward(self, x: Tensor) -> Tensor:
        """B C h w -> the same, zeros around it."""
        out = self.bias[None, :, None, None].expand_as(x).clone(memory_format=torch.channels_last)
        side = self.weight.shape[-1]
        for down in range(side):
            for across in range(side):
                rows, from_rows = _overlap((down - side // 2) * self.dilation, x.shape[2])
                columns, from_columns = _overlap((across - side // 2) * self.dilation, x.shape[3])
                tap = self.weight[:, 0, down, across][None, :, None, None]
                out[:, :, rows, columns].addcmul_(x[:, :, from_rows, from_columns], tap)
        return F.relu_(out)


def _overlap(shift: int, side: int) -> tuple[slice, slice]:
    """Where a line of so many cells and itself, shifted, overlap: there, and from where; nowhere if it is too short."""
    length = max(0, side - abs(shift))
    start, source = max(0, -shift), max(0, shift)
    return slice(start, start + length), slice(source, source + length)
