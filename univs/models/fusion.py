"""Difference-aware fusion: the mask a frame had and the one a later interaction propagates to it become one.

Source: Cheng, Tai and Tang, "Modular Interactive Video Object Segmentation", CVPR 2021, section 3.3. Five steps of
convolutions at the full resolution; names of parts are those of the official weights (12 tensors).

Shapes: B objects (or frames), H W pixels.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

INPUTS = 9
"""RGB (3, normalised), previous and current probability, positive and negative change aligned to the frame (each the
attention of the changes on the interacted frame), and the shares of time n_c and n_r, which add up to 1."""
WIDTH = 32


class FusionNetwork(nn.Module):
    """A residual network of 3 x 3 convolutions that gives the logits of the fused mask, each object by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(_convolution(INPUTS, WIDTH), nn.ReLU())
        self.conv2 = nn.Sequential(_convolution(WIDTH, WIDTH), nn.ReLU(), _convolution(WIDTH, WIDTH))
        self.conv3 = nn.Sequential(_convolution(WIDTH, WIDTH), nn.ReLU(), _convolution(WIDTH, WIDTH))
        self.final_conv = _convolution(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """B 9 H W, the channels of `INPUTS` -> logits B 1 H W, whose sigmoid is the probability of the object."""
        x = self.conv1(x)
        x = F.relu(x + self.conv2(x))
        x = F.relu(x + self.conv3(x))
        return self.final_conv(x)


def _convolution(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1)
