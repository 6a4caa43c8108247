"""Colours as people see them: CIE-LAB, in which equal distances look equally far, of the pooled pixels of frames.

Shapes: N frames of H W pixels, h w = H/stride W/stride cells.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

ChannelOrder = Literal["rgb", "bgr"]
"""bgr: red and blue change places before LAB is made of them, as in the official code of MaskFreeVIS."""

# sRGB (IEC 61966-2-1) to XYZ, the white of the standard illuminant D65 seen at 2 degrees
XYZ_OF_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)


def lab(colours: Tensor) -> Tensor:
    """CIE-LAB of sRGB colours: ... 3 H W in 0..255 -> the same shape, float32; L in 0..100, a and b around 0."""
    # differences of alike colours decide what matches: float32 would leave 1e-5 of them to chance
    share = colours.double() / 255
    linear = torch.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    matrix = torch.tensor(XYZ_OF_RGB, dtype=torch.float64, device=colours.device)
    white = torch.tensor(WHITE, dtype=torch.float64, device=colours.device).view(3, 1, 1)
    xyz = torch.einsum("ij,...jhw->...ihw", matrix, linear) / white
    x, y, z = torch.where(xyz > 0.008856, xyz ** (1 / 3), 7.787 * xyz + 16 / 116).unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -3).float()


def pooled_lab(frames: Tensor, stride: int, order: ChannelOrder = "rgb") -> Tensor:
    """LAB of the mean colour of each cell, cut off to whole numbers: N 3 H W, RGB 0..255 -> N 3 h w float32.

    What is left over of H and W below a whole cell is cut off.
    """
    means = F.avg_pool2d(frames.float(), stride).floor()
    return lab(means.flip(1) if order == "bgr" else means)
