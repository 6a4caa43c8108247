"""Scribble to mask (S2M): the mask of one object from a frame, the mask so far, and strokes on it and beside it.

Source: Cheng, Tai and Tang, "Modular Interactive Video Object Segmentation", CVPR 2021, section 3.1, and the
repository of that network (Scribble-to-Mask). Names of parts are those of the official weights (368 tensors).

Shapes: B objects, H W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.models.deeplab import HIGH_CHANNELS, LOW_CHANNELS, PyramidPooling, dilated_resnet50, normed

INPUTS = 6
"""RGB (3, normalised), mask so far, strokes on the object, strokes beside it (each 0 or 1)."""
RATES = (6, 12, 18)
WIDTH, LOW_WIDTH = 256, 48
DROPOUT = 0.1


class ScribbleToMask(nn.Module):
    """DeepLabV3+ with ResNet-50 at stride 16, six input channels and one logit.

    multiple: sides of the input are multiples of it. pixel_mean, pixel_std: of the frames, 0..255.
    """

    multiple = 16
    pixel_mean = (123.675, 116.28, 103.53)
    pixel_std = (58.395, 57.12, 57.375)

    def __init__(self) -> None:
        super().__init__()
        self.backbone = dilated_resnet50(INPUTS, 16)
        self.classifier = DecoderHead()

    def forward(self, x: Tensor) -> Tensor:
        """B 6 H W, the channels of `INPUTS`; H and W multiples of 16 -> logits of the object's mask, B 1 H W."""
        low, high = self.backbone(x)
        logits = self.classifier(low, high)
        return F.interpolate(logits, x.shape[2:], mode="bilinear", align_corners=False)


class DecoderHead(nn.Module):
    """Pyramid pooling, enlarged and beside it the fine map of the first stage; then a convolution and the logit."""

    def __init__(self) -> None:
        super().__init__()
        self.project = normed(nn.Conv2d(LOW_CHANNELS, LOW_WIDTH, 1, bias=False))
        self.aspp = PyramidPooling(HIGH_CHANNELS, WIDTH, RATES, DROPOUT)
        self.classifier = nn.Sequential(
            *normed(nn.Conv2d(LOW_WIDTH + WIDTH, WIDTH, 3, padding=1, bias=False)), nn.Conv2d(WIDTH, 1, 1)
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Maps at strides 4 and 16 -> logits at stride 4."""
        fine = self.project(low)
        coarse = F.interpolate(self.aspp(high), fine.shape[2:], mode="bilinear", align_corners=False)
        return self.classifier(torch.cat([fine, coarse], dim=1))
