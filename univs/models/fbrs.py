"""f-BRS: the mask of one object from clicks, with a scale and a shift of features that clicks may still correct.

Source: Sofiiuk et al., "f-BRS: Rethinking Backpropagating Refinement for Interactive Segmentation", CVPR 2020.
DeepLabV3+ on a ResNet-50s with 128 channels; official weights (413 tensors) are renamed by `official_name`.

Shapes: B images, P clicks of a kind, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.models.deeplab import HIGH_CHANNELS, LOW_CHANNELS, PyramidPooling, dilated_resnet50, normed

WIDTH, LOW_WIDTH, HEAD_WIDTH = 128, 32, 64
RATES = (12, 24, 36)
RADIUS = 260.0
"""Pixels; a click is felt as tanh(2 d / RADIUS)."""
RENAMED = (
    ("feature_extractor.backbone.", "backbone."),
    ("feature_extractor.skip_project.skip_project.", "project."),
    ("feature_extractor.aspp.concurent.4.gap.", "aspp.convs.4."),
    ("feature_extractor.aspp.concurent.", "aspp.convs."),
    ("feature_extractor.aspp.project.", "aspp.project."),
    ("feature_extractor.head.block.", "decoder."),
    ("rgb_conv.", "mixing."),
    ("head.layers.", "head."),
)
"""Beginnings of official names -> ours; `body` within them goes."""


Size = tuple[int, int]
Clicks = Sequence[tuple[float, float]]


def official_name(name: str) -> str:
    """Our name of an official tensor; an unknown name stays as it is."""
    for theirs, ours in RENAMED:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs).replace("body.", "")
    return name


def distance_maps(positive: Clicks, negative: Clicks, size: Size) -> Tensor:
    """How far the nearest click is, 1 2 H W in 0..1: clicks on the object, then beside it; 1 where there is none.

    Args:
        positive, negative: clicks (x, y) in pixels; cells have whole numbers.
        size: H and W.
    """
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    maps = torch.ones(1, 2, *size)
    for plane, clicks in zip(maps[0], (positive, negative), strict=True):
        if clicks:
            squares = torch.stack([(x - cx) ** 2 + (y - cy) ** 2 for cx, cy in clicks]).amin(0)
            plane.copy_(torch.tanh(2 * torch.sqrt(squares) / RADIUS))
    return maps


class ClickNetwork(nn.Module):
    """Image and click maps become three channels, DeepLabV3+ makes features of them, and a small head the logit.

    pixel_mean, pixel_std: of the frames, 0..255.
    """

    pixel_mean = (123.675, 116.28, 103.53)
    pixel_std = (58.395, 57.12, 57.375)

    def __init__(self) -> None:
        super().__init__()
        self.mixing = nn.Sequential(nn.Conv2d(5, 8, 1), nn.LeakyReLU(0.2), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 1))
        self.backbone = dilated_resnet50(3, 8, deep_stem=True)
        self.project = normed(nn.Conv2d(LOW_CHANNELS, LOW_WIDTH, 1, bias=False))
        self.aspp = PyramidPooling(HIGH_CHANNELS, WIDTH, RATES, 0.5)
        self.decoder = nn.Sequential(
            separable(WIDTH + LOW_WIDTH, WIDTH), separable(WIDTH, WIDTH), nn.Conv2d(WIDTH, WIDTH, 1)
        )
        self.head = nn.Sequential(
            separable(WIDTH, HEAD_WIDTH), separable(HEAD_WIDTH, HEAD_WIDTH), nn.Conv2d(HEAD_WIDTH, 1, 1)
        )

    def features(self, images: Tensor, clicks: Tensor) -> Tensor:
        """Images B 3 H W (normalised) and their `distance_maps` B 2 H W -> features B 128 h w at stride 4."""
        low, high = self.backbone(self.mixing(torch.cat([images, clicks], dim=1)))
        fine = self.project(low)
        coarse = F.interpolate(self.aspp(high), fine.shape[2:], mode="bilinear", align_corners=True)
        return self.decoder(torch.cat([coarse, fine], dim=1))

    def logits(self, features: Tensor, size: Size, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """Logits of the mask, B 1 H W, of features times a scale plus a shift (each B 128; None: as they are)."""
        if scale is not None:
            features = features * scale[..., None, None]
        if shift is not None:
            features = features + shift[..., None, None]
        return F.interpolate(self.head(features), size, mode="bilinear", align_corners=True)

    def forward(self, images: Tensor, clicks: Tensor) -> Tensor:
        """Images B 3 H W and `distance_maps` B 2 H W -> logits B 1 H W."""
        return self.logits(self.features(images, clicks), (images.shape[2], images.shape[3]))


def separable(channels: int, out: int) -> nn.Sequential:
    """A 3 x 3 convolution of each channel, one of all channels, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        *normed(nn.Conv2d(channels, out, 1, bias=False)),
    )
