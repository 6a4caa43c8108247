"""The portrait net: people and background of a frame, 0.2 million parameters, for phones and laptops.

An hourglass that sees the frame and its own mask of the frame before as a fourth channel: large strides first, squeezed
bottlenecks, skip connections, and a few densely connected layers at full resolution (Bazarevsky and Tkachenka,
"Mobile Real-time Video Segmentation", Google Research blog, 2018, gives these in words; widths and counts are ours).

Pure: no state of any video lives here. Shapes: F frames, H W pixels of the input, multiples of 32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from univs.models.video_network import VideoNetwork

MULTIPLE = 32
"""Sides of the input are multiples of it."""


class Convolution(nn.Sequential):
    """Convolution without bias, batch norm, PReLU for each channel."""

    def __init__(self, into: int, out: int, side: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> None:
        super().__init__(
            nn.Conv2d(into, out, side, stride, padding, dilation, bias=False), nn.BatchNorm2d(out), nn.PReLU(out)
        )


class Squeezed(nn.Module):
    """A residual block whose middle is much narrower than its ends."""

    def __init__(self, width: int, middle: int, dilation: int = 1) -> None:
        super().__init__()
        self.narrow = Convolution(width, middle, 1)
        self.middle = Convolution(middle, middle, 3, padding=dilation, dilation=dilation)
        self.widen = nn.Sequential(nn.Conv2d(middle, width, 1, bias=False), nn.BatchNorm2d(width))
        self.act = nn.PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        """F C h w -> the same."""
        result: Tensor = self.act(x + self.widen(self.middle(self.narrow(x))))
        return result


class Down(nn.Module):
    """Half the resolution: the largest of four pixels beside a squeezed branch."""

    def __init__(self, into: int, out: int, middle: int) -> None:
        super().__init__()
        self.skip = nn.Conv2d(into, out, 1, bias=False) if into != out else nn.Identity()
        self.branch = nn.Sequential(
            Convolution(into, middle, 2, stride=2),
            Convolution(middle, middle, 3, padding=1),
            nn.Conv2d(middle, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.act = nn.PReLU(out)

    def forward(self, x: Tensor) -> Tensor:
        """F C h w -> F D h/2 w/2."""
        result: Tensor = self.act(self.skip(F.max_pool2d(x, 2)) + self.branch(x))
        return result


class Dense(nn.Module):
    """A layer whose result stands beside what it saw."""

    def __init__(self, into: int, growth: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.BatchNorm2d(into), nn.PReLU(into), nn.Conv2d(into, growth, 3, padding=1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """F C h w -> F C+growth h w."""
        return torch.cat([x, self.layer(x)], 1)


class PortraitNet(VideoNetwork):
    """The network.

    Args:
        widths: channels at strides 4, 8, 16 and 32.
        middles: of the squeezed blocks there.
        wide, fine: channels of the way up at strides 16 and 8, and at stride 4.
        growth: channels that each of the three dense layers adds.
        pixel_mean, pixel_std: of RGB 0..255.
        config: the plain numbers it was built from (`zoo.build_network`).
    """

    called = "the portrait net"

    def __init__(
        self,
        *,
        widths: Sequence[int],
        middles: Sequence[int],
        wide: int,
        fine: int,
        growth: int,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(pixel_mean, pixel_std, config)
        w4, w8, w16, w32 = widths
        m4, m8, m16, m32 = middles
        self.halved = Convolution(4, 8, 3, stride=2, padding=1)
        # 8 x 8 windows around cells of 4 x 4 pixels
        self.stem = Convolution(4, w4, 8, stride=4, padding=2)
        self.stride4 = nn.Sequential(Squeezed(w4, m4), Squeezed(w4, m4))
        self.stride8 = nn.Sequential(Down(w4, w8, m8), Squeezed(w8, m8), Squeezed(w8, m8))
        self.stride16 = nn.Sequential(Down(w8, w16, m16), Squeezed(w16, m16), Squeezed(w16, m16))
        self.stride32 = nn.Sequential(Down(w16, w32, m32), *(Squeezed(w32, m32, dilation) for dilation in (1, 2, 4)))
        self.skips = nn.ModuleList(
            [Convolution(w32, wide, 1), Convolution(w16, wide, 1), Convolution(w8, wide, 1), Convolution(w4, fine, 1)]
        )
        self.up16, self.up8, self.up4 = Squeezed(wide, 16), Squeezed(wide, 16), Squeezed(fine, 8)
        self.finer = Convolution(wide, fine, 1)
        self.narrow = Convolution(fine, 8, 1)
        self.join = Convolution(16, 4, 3, padding=1)
        self.dense = nn.Sequential(*(Dense(8 + step * growth, growth) for step in range(3)))
        self.out = nn.Conv2d(8 + 3 * growth, 1, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # the few channels at full resolution are a third of the time so

    def trackers(self) -> dict[str, dict[str, tuple[str, str]]]:
        """It finds people by itself."""
        home = "univs.trackers.portrait"
        return {"zero_shot": {"portrait": (f"{home}:PortraitTracker", f"{home}:PortraitSettings")}}

    def for_inference(self) -> PortraitNet:
        """As in `VideoNetwork`."""
        return folded(self)

    def forward(self, frames: Tensor, before: Tensor) -> Tensor:
        """Log-odds of people.

        Args:
            frames: F 3 H W RGB 0..255, uint8 or float.
            before: F 1 H W probabilities of the frame before; 0 where there is none.
        Returns:
            F 1 H W.
        Raises ValueError for sides that are no multiples of 32.
        """
        height, width = frames.shape[-2:]
        if height % MULTIPLE or width % MULTIPLE:
            raise ValueError(f"the portrait net takes sides that are multiples of {MULTIPLE}, got {height} x {width}")
        seen = torch.cat([(frames.to(before.dtype) - self.pixel_mean) / self.pixel_std, before], 1)
        seen = seen.contiguous(memory_format=torch.channels_last)
        b4 = self.stride4(self.stem(seen))
        b8 = self.stride8(b4)
        b16 = self.stride16(b8)
        every = self.stride32(b16), b16, b8, b4
        deepest, skip16, skip8, skip4 = (skip(x) for skip, x in zip(self.skips, every, strict=True))
        x = self.up16(doubled(deepest) + skip16)
        x = self.up8(doubled(x) + skip8)
        x = self.up4(doubled(self.finer(x)) + skip4)
        x = self.join(torch.cat([doubled(self.narrow(x)), self.halved(seen)], 1))
        logits: Tensor = self.out(self.dense(torch.cat([doubled(x), seen], 1)))
        return logits


def doubled(x: Tensor) -> Tensor:
    """F C h w -> F C 2h 2w, bilinear between pixel centres."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def folded(model: PortraitNet) -> PortraitNet:
    """The same in eval mode, batch norms that follow a convolution folded into it."""
    result = deepcopy(model).eval().requires_grad_(False)
    for part in result.modules():
        if not isinstance(part, nn.Sequential):
            continue
        layers = list(part)
        for number, (layer, norm) in enumerate(pairwise(layers)):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                part[number], part[number + 1] = fuse_conv_bn_eval(layer, norm), nn.Identity()
    return result
