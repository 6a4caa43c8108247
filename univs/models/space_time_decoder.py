"""From what was read of the memory to mask logits: refined with the frame's own maps at strides 8 and 4.

Shapes: N objects, C channels, h w size of a map, H W pixels of the padded image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Skips:
    """What the frame itself gives to the decoding of every object: 1 C h w at strides 8 and 4."""

    stride8: Tensor
    stride4: Tensor


class SpaceTimeDecoder(nn.Module):
    """Read-out and value of the frame side by side -> logits.

    Args:
        inputs: channels of both together.
        skips: channels of the maps of the frame's trunk at strides 4 and 8.
        widths: channels at strides 16, 8 and 4; what lies between 16 and 8 is as wide as at 16.
        narrowed: whether a convolution of its own brings the inputs to the first width, and not the first block.
        logits: 1, whose sigmoid is the probability, or 2, of which the soft-max's second is.
    """

    def __init__(
        self, inputs: int, skips: Sequence[int], widths: Sequence[int], *, narrowed: bool, logits: int
    ) -> None:
        super().__init__()
        if len(widths) != 3 or logits not in (1, 2):
            raise ValueError(f"the decoder has three widths and 1 or 2 logits, not {widths} and {logits}")
        wide, middle, narrow = widths
        self.narrow = convolution(inputs, wide) if narrowed else nn.Identity()
        self.compress = ResidualBlock(wide if narrowed else inputs, wide)
        self.up8 = Refinement(skips[1], wide, middle)
        self.up4 = Refinement(skips[0], middle, narrow)
        self.predict = convolution(narrow, logits)

    def skips(self, stride8: Tensor, stride4: Tensor) -> Skips:
        """What two maps of the frame's trunk give to all objects; computed once per frame."""
        return Skips(self.up8.prepare(stride8), self.up4.prepare(stride4))

    def forward(self, x: Tensor, skips: Skips) -> Tensor:
        """N C h w at stride 16 -> N 1 H W or N 2 H W logits."""
        x = self.compress(self.narrow(x))
        x = self.up4(self.up8(x, skips.stride8), skips.stride4)
        return F.interpolate(self.predict(F.relu(x)), scale_factor=4, mode="bilinear", align_corners=False)


class Refinement(nn.Module):
    """A coarser map, twice as large, and what the frame has at that stride."""

    def __init__(self, skip: int, channels: int, out: int) -> None:
        super().__init__()
        self.skip = convolution(skip, channels)
        self.skip_block = ResidualBlock(channels, channels)
        self.block = ResidualBlock(channels, out)

    def prepare(self, skip: Tensor) -> Tensor:
        """1 skip h w -> 1 C h w."""
        return self.skip_block(self.skip(skip))

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """N C h/2 w/2 and what `prepare` gave, 1 C h w -> N out h w."""
        return self.block(skip + F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False))


class ResidualBlock(nn.Module):
    """Two convolutions, each with the ReLU before it, and what came in (itself convolved where the widths differ)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = convolution(channels, out), convolution(out, out)
        self.shortcut = nn.Identity() if channels == out else convolution(channels, out)

    def forward(self, x: Tensor) -> Tensor:
        """N C h w -> N out h w."""
        return self.shortcut(x) + self.conv2(F.relu(self.conv1(F.relu(x))))


def convolution(channels: int, out: int) -> nn.Conv2d:
    """3 x 3, of the same size."""
    return nn.Conv2d(channels, out, 3, padding=1)


def one_logit(logits: Tensor) -> Tensor:
    """N 1 H W or N 2 H W logits -> N H W whose sigmoid is the probability of the object."""
    return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]


def joined(readout: Tensor, value: Tensor) -> Tensor:
    """N Cv h w read from the memory and 1 Cv h w of the frame -> N 2Cv h w."""
    return torch.cat([readout, value.expand(len(readout), -1, -1, -1)], 1)
