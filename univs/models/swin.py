"""Swin Transformer (Liu et al., ICCV 2021) as detection code runs it: any size of map, a norm per output stage.

Written out since timm's shifts a map before it pads it, shrinks the windows of small maps, and has no norms of outputs.

Shapes: F frames, h w size of a map, C channels, G windows of a map, S = window * window cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCKED = -100.0
"""Added to the attention between cells that only the shift has made neighbours (official: finite)."""


class SwinBackbone(nn.Module):
    """Four maps at strides 4, 8, 16, 32, each normalised for the reader; the next stage goes on from it as it was.

    Args:
        width: channels at stride 4, doubled at each further stage.
        depths, heads: blocks and attention heads of each stage.
        window: cells of a side of a window.
        drop_path: share of residual branches dropped in training at the last block, rising linearly from 0.
    """

    memory_format = torch.contiguous_format

    def __init__(
        self, width: int, depths: Sequence[int], heads: Sequence[int], window: int, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.channels = [width * 2**i for i in range(len(depths))]
        self.patches = nn.Conv2d(3, width, kernel_size=4, stride=4)
        self.patch_norm = nn.LayerNorm(width)
        rates = iter(np.linspace(0, drop_path, sum(depths)).tolist())
        self.stages = nn.ModuleList(
            nn.Sequential(*(SwinBlock(c, count, window, window // 2 * (i % 2), next(rates)) for i in range(depth)))
            for c, depth, count in zip(self.channels, depths, heads, strict=True)
        )
        self.mergings = nn.ModuleList(PatchMerging(c) for c in self.channels[:-1])
        self.norms = nn.ModuleList(nn.LayerNorm(c) for c in self.channels)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def parts(self) -> list[nn.Module]:
        """The network from the input up (to freeze the first few); the norms of the outputs are no part of it."""
        stages = list(self.stages)
        ends = [[m] for m in self.mergings] + [[]]
        grouped = [nn.ModuleList([stage, *end]) for stage, end in zip(stages, ends, strict=True)]
        return [nn.ModuleList([self.patches, self.patch_norm]), *grouped]

    def forward(self, images: Tensor) -> list[Tensor]:
        """F 3 H W -> four maps F C_i h w at strides 4, 8, 16, 32."""
        height, width = images.shape[-2:]
        x = self.patches(F.pad(images, (0, -width % 4, 0, -height % 4))).permute(0, 2, 3, 1)
        x = self.patch_norm(x)
        maps = []
        for i, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            if i:
                x = self.mergings[i - 1](x)
            x = stage(x)
            maps.append(norm(x).permute(0, 3, 1, 2).contiguous())
        return maps


class SwinBlock(nn.Module):
    """Attention within (shifted) windows, then a feed-forward; pre-norm.

    Args:
        dim, heads, window: channels, attention heads, cells of a side of a window.
        shift: by how many cells the windows are moved right and down.
        drop_path: share of residual branches dropped in training.
    """

    def __init__(self, dim: int, heads: int, window: int, shift: int, drop_path: float) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(dim)
        self.attention = WindowAttention(dim, heads, window)
        self.drop_path = drop_path
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """F h w C -> F h w C."""
        x = x + self._dropped(self._attend(self.norm1(x)))
        return x + self._dropped(self.mlp(self.norm2(x)))

    def _dropped(self, x: Tensor) -> Tensor:
        """The branch, in training left out for some of the frames and larger for the others (Huang et al. 2016)."""
        if not self.training or self.drop_path == 0:
            return x
        kept = x.new_empty(len(x), *(1,) * (x.ndim - 1)).bernoulli_(1 - self.drop_path)
        return x * (kept / (1 - self.drop_path))

    def _attend(self, x: Tensor) -> Tensor:
        frames, height, width, dim = x.shape
        side, shift = self.window, self.shift
        x = F.pad(x, (0, 0, 0, -width % side, 0, -height % side))  # padded cells take part in the attention
        down, across = x.shape[1] // side, x.shape[2] // side
        blocked = None
        if shift:
            x = x.roll((-shift, -shift), (1, 2))
            blocked = shift_mask(x.shape[1], x.shape[2], side, shift, x.device)
        windows = x.view(frames, down, side, across, side, dim).transpose(2, 3).reshape(frames, -1, side * side, dim)
        windows = self.attention(windows, blocked)
        x = windows.view(frames, down, across, side, side, dim).transpose(2, 3).reshape(x.shape)
        if shift:
            x = x.roll((shift, shift), (1, 2))
        return x[:, :height, :width]


class WindowAttention(nn.Module):
    """Multi-head attention between the cells of a window, with a learned bias for each relative place."""

    relative_place: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.bias_table, std=0.02)
        self.register_buffer("relative_place", relative_place(window), persistent=False)

    def forward(self, x: Tensor, blocked: Tensor | None) -> Tensor:
        """Attend.

        Args:
            x: F G S C.
            blocked: G S S, added to the attention; None: nothing.
        Returns:
            F G S C.
        """
        frames, count, cells, dim = x.shape
        q, k, v = self.qkv(x).view(frames, count, cells, 3, self.heads, -1).permute(3, 0, 1, 4, 2, 5).flatten(2, 3)
        bias = self.bias_table[self.relative_place].permute(2, 0, 1)  # heads S S
        bias = bias.expand(count, -1, -1, -1) if blocked is None else bias + blocked[:, None]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.flatten(0, 1)[None])  # F G*heads S C/heads
        return self.proj(out.unflatten(1, (count, self.heads)).transpose(2, 3).flatten(3))


class PatchMerging(nn.Module):
    """Half the size and twice the channels: the four cells of a square as one."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """F h w C -> F h/2 w/2 2C, odd sizes rounded up."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        cells = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(cells, dim=-1)))


def relative_place(window: int) -> Tensor:
    """Row of the bias table for each pair of cells of a window: S S."""
    cell = torch.arange(window * window)
    y, x = cell // window, cell % window
    across = 2 * window - 1
    return (y[:, None] - y + window - 1) * across + x[:, None] - x + window - 1


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # what is cached may be used in training later
def shift_mask(height: int, width: int, window: int, shift: int, device: torch.device) -> Tensor:
    """What keeps the parts of a rolled map apart that are no neighbours in the picture: G S S. Cached: do not write."""

    def part(size: int) -> Tensor:
        place = torch.arange(size, device=device)
        return (place >= size - window).long() + (place >= size - shift)

    parts = 3 * part(height)[:, None] + part(width)
    windows = parts.view(height // window, window, width // window, window).transpose(1, 2).flatten(2).flatten(0, 1)
    return BLOCKED * (windows[:, :, None] != windows[:, None]).float()
