"""How SiamMask draws the mask of a cell finely: from one vector outwards, beside what the trunk saw around the cell.

SiamMask, figure 8 and table 8 (after SharpMask, Pinheiro et al., ECCV 2016). Shapes: K chosen cells, C channels of the
correlation, h w of a map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SEED = 15
"""Side of the first map, which one vector makes."""
SIDES = (31, 61, 127)
"""Of the maps after each merge."""
WINDOWS = ((15, 1), (31, 2), (61, 4))
"""Of the trunk's maps at strides 8, 4, 2: side of what is seen around a cell, and how far it moves to the next cell."""


class Refinement(nn.Module):
    """Three merges of a growing map with the trunk's maps at strides 8, 4 and 2.

    Args:
        width: C.
        channels: of the trunk's maps at strides 2, 4, 8.
        middle: channels between the two convolutions on these maps, in the same order.
        widths: channels at the merges, in the same order.
        deep: whether the first merge also sees what the correlation saw of the crop, and the correlation around the
            cell, C channels each (`beside_deepest`; ours: the maps of a light trunk know little at stride 8).
    """

    side = SIDES[-1]

    def __init__(
        self, width: int, channels: Sequence[int], *, middle: Sequence[int], widths: Sequence[int], deep: bool = False
    ) -> None:
        super().__init__()
        self.deep = deep
        if deep:
            channels = [*channels[:-1], channels[-1] + 2 * width]
        coarsest = widths[-1]
        self.deconv = nn.ConvTranspose2d(width, coarsest, SEED, SEED)
        rows = list(zip(channels, middle, widths, strict=True))[::-1]  # from coarse to fine
        self.beside = nn.ModuleList(two_convolutions(seen, between, out) for seen, between, out in rows)
        self.running = nn.ModuleList(two_convolutions(out, out, out) for _, _, out in rows)
        following = [out for _, _, out in rows[1:]] + [1]
        self.after = nn.ModuleList(
            nn.Conv2d(out, then, 3, padding=1) for (_, _, out), then in zip(rows, following, strict=True)
        )
        for convolutions in (self.beside, self.running, self.after):
            convolutions.to(memory_format=torch.channels_last)  # the order of the windows: half of the time

    def forward(self, responses: Tensor, maps: Sequence[Tensor], cells: Tensor, count: int) -> Tensor:
        """Draw the masks of chosen cells.

        Args:
            responses: K C of the correlation at the cells.
            maps: of the trunk at strides 2, 4, 8; the last one with what stands beside it if this is `deep`.
            cells: K 3, (row of the maps, y, x).
            count: cells to a side of the answer; the windows of all of them, side by side, are centred on the maps.
        Returns:
            K 127 127 logits.
        """
        seeds = responses @ self.deconv.weight.flatten(1)  # what the transposed convolution does to a single cell
        assert self.deconv.bias is not None
        x = seeds.view(len(responses), -1, SEED, SEED) + self.deconv.bias[:, None, None]
        x = x.contiguous(memory_format=torch.channels_last)
        steps = zip(self.running, self.beside, self.after, maps[::-1], WINDOWS, SIDES, strict=True)
        for running, beside, after, seen, (window, step), side in steps:
            around = windows(seen, cells, count, window, step)
            x = after(F.interpolate(running(x) + beside(around), size=(side, side), mode="nearest"))
        return x[:, 0]


def beside_deepest(maps: Sequence[Tensor], *deeper: Tensor) -> list[Tensor]:
    """Maps of which the last, F D h h, has others beside it: F E k k, centred on it, zero around where k < h."""
    *finer, last = maps
    reaches = ((last.shape[-1] - map_.shape[-1]) // 2 for map_ in deeper)
    framed = [F.pad(map_, (reach,) * 4) for map_, reach in zip(deeper, reaches, strict=True)]
    return [*finer, torch.cat([last, *framed], 1)]


def two_convolutions(channels: int, between: int, out: int) -> nn.Sequential:
    """3 x 3 each, a ReLU behind each."""
    return nn.Sequential(
        nn.Conv2d(channels, between, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(between, out, 3, padding=1),
        nn.ReLU(inplace=True),
    )


def windows(maps: Tensor, cells: Tensor, count: int, side: int, step: int) -> Tensor:
    """What maps F C h h hold around chosen cells, K 3 (row, y, x): K C side side, zero outside of the maps.

    The windows of `count` x `count` cells, `step` apart, are together centred on the maps.
    """
    reach = ((count - 1) * step + side - maps.shape[-1]) // 2
    padded = F.pad(maps, (reach,) * 4).permute(0, 2, 3, 1)
    height, width, channels = padded.shape[1:]
    row, y, x = cells.T[..., None, None]
    line = torch.arange(side, device=cells.device)
    places = (row * height + y * step + line[:, None]) * width + x * step + line
    # looked up as rows of a table: what comes back to a map is added up once, not a whole map for every window
    return F.embedding(places, padded.reshape(-1, channels)).permute(0, 3, 1, 2)
