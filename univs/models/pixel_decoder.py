"""From backbone maps to the decoder's three levels and the mask features; two named kinds with one interface.

Shapes: F frames, h w feature size, C decoder channels, Cm mask-feature channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.models.deformable_attention import DeformableAttention
from univs.models.features import ImageFeatures
from univs.models.position import band_embedding, map_embedding


def _up(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class DeformableEncoderLayer(nn.Module):
    """Deformable self attention over all cells of all levels, then a feed-forward; post-norm."""

    def __init__(self, dim: int, heads: int, levels: int, points: int, hidden: int) -> None:
        super().__init__()
        self.attention = DeformableAttention(dim, heads, levels, points)
        self.norm1 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm2 = nn.LayerNorm(dim)
        nn.init.xavier_uniform_(self.linear1.weight)
        nn.init.xavier_uniform_(self.linear2.weight)

    def forward(self, x: Tensor, position: Tensor, references: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """F S C, with position S C (drives offsets and weights, not values) and references S 2."""
        x = self.norm1(x + self.attention(x + position, references, x, sizes))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class DeformablePixelDecoder(nn.Module):
    """The MSDeformAttn pixel decoder of Mask2Former.

    Args:
        channels: backbone channels at strides 4, 8, 16, 32.
        dim, mask_dim: C and Cm.
        layers, heads, points, ffn: the deformable encoder.
    """

    def __init__(
        self, channels: Sequence[int], *, dim: int, mask_dim: int, layers: int, heads: int, points: int, ffn: int
    ) -> None:
        super().__init__()
        self.dim = dim
        self.pyramid_channels = {16: dim, 8: dim, 4: mask_dim}
        coarse_first = list(channels[:0:-1])
        self.input_proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, dim, 1), nn.GroupNorm(32, dim)) for c in coarse_first
        )
        self.level_embed = nn.Parameter(torch.randn(len(coarse_first), dim))
        self.layers = nn.ModuleList(
            DeformableEncoderLayer(dim, heads, len(coarse_first), points, ffn) for _ in range(layers)
        )
        self.lateral = nn.Sequential(nn.Conv2d(channels[0], dim, 1, bias=False), nn.GroupNorm(32, dim))
        self.output = nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1, bias=False), nn.GroupNorm(32, dim), nn.ReLU())
        self.mask_features = nn.Conv2d(dim, mask_dim, 1)
        for conv in (m for m in self.modules() if isinstance(m, nn.Conv2d)):
            nn.init.xavier_uniform_(conv.weight)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(self, maps: Sequence[Tensor]) -> ImageFeatures:
        """Backbone maps at strides 4, 8, 16, 32 -> features; in float32 under autocast too (official)."""
        with torch.autocast(maps[0].device.type, enabled=False):
            return self._decode([x.float() for x in maps])

    def _decode(self, maps: Sequence[Tensor]) -> ImageFeatures:
        projected = [project(x) for project, x in zip(self.input_proj, maps[:0:-1], strict=True)]
        sizes = [(x.shape[-2], x.shape[-1]) for x in projected]
        device = projected[0].device
        tokens = torch.cat([x.flatten(2).transpose(1, 2) for x in projected], dim=1)
        position = torch.cat(
            [
                map_embedding(h, w, self.dim, device).flatten(0, 1) + e
                for (h, w), e in zip(sizes, self.level_embed, strict=True)
            ]
        )
        references = torch.cat([_cell_centres(h, w, device) for h, w in sizes])
        for layer in self.layers:
            tokens = layer(tokens, position, references, sizes)
        parts = tokens.split([h * w for h, w in sizes], dim=1)
        first, second, third = (
            part.transpose(1, 2).unflatten(2, size) for part, size in zip(parts, sizes, strict=True)
        )
        fine = self.lateral(maps[0])
        mask_features = self.mask_features(self.output(fine + _up(third, fine)))
        return ImageFeatures((first, second, third), mask_features, {16: second, 8: third, 4: mask_features})


def _cell_centres(height: int, width: int, device: torch.device) -> Tensor:
    """(x, y) in 0..1 of every cell, row-major: height*width x 2."""
    y, x = ((torch.arange(n, dtype=torch.float32, device=device) + 0.5) / n for n in (height, width))
    return torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], dim=-1).flatten(0, 1)


class ResidualBlock(nn.Module):
    """Pre-activation residual block of two 3x3 convolutions, without normalisation."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class LightPixelDecoder(nn.Module):
    """A top-down feature pyramid of plain convolutions, for models that must run on a CPU.

    Args:
        channels: backbone channels at strides 4, 8, 16, 32.
        widths: channels of the pyramid at strides 32, 16, 8, 4.
        dim, mask_dim: C and Cm.
        position_bands: frequencies of the place that the mask features know of (`position.band_embedding`), 0 = none.
    """

    def __init__(
        self, channels: Sequence[int], *, widths: Sequence[int], dim: int, mask_dim: int, position_bands: int = 0
    ) -> None:
        super().__init__()
        self.position_bands = position_bands
        self.pyramid_channels = dict(zip((16, 8, 4), widths[1:], strict=True))
        self.lateral = nn.ModuleList(nn.Conv2d(c, w, 1) for c, w in zip(channels[::-1], widths, strict=True))
        self.down = nn.ModuleList(
            nn.Identity() if a == b else nn.Conv2d(a, b, 1) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.blocks = nn.ModuleList(ResidualBlock(w) for w in widths)
        self.levels = nn.ModuleList(nn.Sequential(nn.Conv2d(w, dim, 1), nn.GroupNorm(32, dim)) for w in widths[:3])
        self.mask_features = nn.Conv2d(widths[3], mask_dim, 1)
        with torch.no_grad():  # masks start flat, not as noise that a dense residual would have to outweigh
            self.mask_features.weight.mul_(0.05)
        self.place = nn.Conv2d(4 * position_bands, mask_dim, 1, bias=False) if position_bands else None

    def forward(self, maps: Sequence[Tensor]) -> ImageFeatures:
        """Backbone maps at strides 4, 8, 16, 32 -> features."""
        x = self.blocks[0](self.lateral[0](maps[3]))
        pyramid = [x]
        for i in (1, 2, 3):
            lateral = self.lateral[i](maps[3 - i])
            x = self.blocks[i](lateral + _up(self.down[i - 1](x), lateral))
            pyramid.append(x)
        first, second, third = (level(x) for level, x in zip(self.levels, pyramid[:3], strict=True))
        mask_features = self.mask_features(x)
        if self.place is not None:
            size = (x.shape[-2], x.shape[-1])
            mask_features = mask_features + self.place(
                band_embedding(*size, self.position_bands, x.device).permute(2, 0, 1)[None]
            )
        read = dict(zip((16, 8, 4), pyramid[1:], strict=True))
        return ImageFeatures((first, second, third), mask_features, read, maps[1])
