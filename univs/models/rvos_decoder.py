"""The decoder of RVOS: ConvLSTM levels that recur over the objects of a frame and over its frames.

Ventura et al., "RVOS: End-to-End Recurrent Network for Video Object Segmentation", CVPR 2019, section 3.2. Every level,
from coarse to fine, sees its skip, the hidden state of the coarser level, perhaps the object's mask on the frame
before, the state of the object before it on the same frame, and its own hidden state of the frame before. Only the
hidden state goes through time; the cell goes from object to object within a frame.

A level runs for all objects before the next one does: what an object takes from the level above and from the frame
before is known for all of them then, and is computed in one batch; what the skip gives is the same for all.
Shapes: B videos, N object slots, C channels, H W pixels of the image, h w of a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FINEST = 2
"""Halvings from the image to the finest level."""


@dataclass(frozen=True)
class SlotStates:
    """What the slots of a frame hold, level by level from coarse to fine, each B N C h w.

    hidden: what the next frame reads. cells: what each slot gave to the one behind it.
    """

    hidden: tuple[Tensor, ...]
    cells: tuple[Tensor, ...]


class ConvLSTMCell(nn.Module):
    """One level.

    Args:
        inputs: channels of what comes in: the coarser level's hidden state, then the skip.
        hidden: C of its states.
        skip: how many of the inputs are the skip.
        masked: whether the mask of the frame before comes in too.
    """

    def __init__(self, inputs: int, hidden: int, skip: int, *, masked: bool) -> None:
        super().__init__()
        self.parts = [inputs - skip, skip, int(masked), hidden, hidden]
        self.gates = nn.Conv2d(sum(self.parts), 4 * hidden, 3, padding=1)

    def forward(
        self,
        skip: Tensor,
        above: Tensor | None,
        masks: Tensor | None,
        before: Tensor | None,
        slots: int,
        *,
        spatial: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """All slots of a frame.

        Args:
            skip: B C h w.
            above: B N C h w hidden states of the coarser level, of the size of this one; None: there is none.
            masks: B N h w; None: not seen.
            before: B N C h w hidden states of the frame before; None: zeros.
            slots: N.
            spatial: whether a slot sees the one before it; otherwise it sees zeros.
        Returns:
            Hidden states and cells, both B N C h w.
        """
        for_above, for_skip, for_masks, for_spatial, for_temporal = self.gates.weight.split(self.parts, 1)
        shared = F.conv2d(skip, for_skip, self.gates.bias, padding=1)
        given = [(above, for_above), (None if masks is None else masks[:, :, None], for_masks), (before, for_temporal)]
        seen = [(maps, weight) for maps, weight in given if maps is not None]
        rows = shared[:, None].expand(-1, slots, -1, -1, -1)
        if seen:
            maps = torch.cat([maps.flatten(0, 1) for maps, _ in seen], 1)
            own = F.conv2d(maps, torch.cat([weight for _, weight in seen], 1), padding=1)
            rows = rows + own.unflatten(0, (len(skip), slots))
        if not spatial:
            return recurred(rows, None)
        states: list[tuple[Tensor, Tensor]] = []
        for row in rows.unbind(1):
            if states:
                row = row + F.conv2d(states[-1][0], for_spatial, padding=1)
            states.append(recurred(row, states[-1][1] if states else None))
        hidden, cells = zip(*states, strict=True)
        return torch.stack(hidden, 1), torch.stack(cells, 1)


def recurred(gates: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
    """A step of an LSTM: ... 4C h w of input, forget, output gate and candidate -> hidden state and cell ... C h w.

    cell: before the step; None: zeros. There are no peepholes (Shi et al., NIPS 2015, eq. 3 without them).
    """
    into, keep, out, candidate = gates.chunk(4, -3)
    new = into.sigmoid() * candidate.tanh()
    if cell is not None:
        new = keep.sigmoid() * cell + new
    return out.sigmoid() * new.tanh(), new


class RecurrentDecoder(nn.Module):
    """The levels, and the convolution to a logit behind them.

    Args:
        hidden: channels of the states, from coarse to fine.
        masked: whether slots see masks.
    """

    def __init__(self, hidden: Sequence[int], *, masked: bool) -> None:
        super().__init__()
        self.skip_channels = (hidden[0], *hidden[:-1])
        """Of the skips, from coarse to fine."""
        above = (0, *hidden[:-1])
        self.levels = nn.ModuleList(
            ConvLSTMCell(skip + coarser, own, skip, masked=masked)
            for skip, coarser, own in zip(self.skip_channels, above, hidden, strict=True)
        )
        self.predict = nn.Conv2d(hidden[-1], 1, 3, padding=1)

    def forward(
        self,
        skips: Sequence[Tensor],
        masks: Tensor | None,
        before: Sequence[Tensor] | None,
        slots: int,
        *,
        spatial: bool = True,
    ) -> tuple[Tensor, SlotStates]:
        """All slots of a frame.

        Args:
            skips: B C h w, from coarse to fine.
            masks: B N H W of the frame before, probabilities; None where slots see none.
            before: hidden states of the frame before (`SlotStates.hidden`); None: there is none.
            slots: N.
            spatial: whether a slot sees the one before it.
        Returns:
            Logits B N h' w' at half the size of the image, rounded up to whole cells of the finest level; the states.
        """
        levels = len(self.levels)
        pyramid = [None] * levels if masks is None else mask_pyramid(masks, levels)
        hidden, cells = [], []
        above: Tensor | None = None
        for number, (level, skip) in enumerate(zip(self.levels, skips, strict=True)):
            if above is not None:
                above = enlarged(above, tuple(skip.shape[-2:]))
            seen = None if before is None else before[number]
            above, cell = level(skip, above, pyramid[number], seen, slots, spatial=spatial)
            hidden.append(above)
            cells.append(cell)
        assert above is not None
        finest = enlarged(above, (2 * above.shape[-2], 2 * above.shape[-1]))
        logits = self.predict(finest.flatten(0, 1)).unflatten(0, finest.shape[:2])[:, :, 0]
        return logits, SlotStates(tuple(hidden), tuple(cells))


def mask_pyramid(masks: Tensor, levels: int) -> list[Tensor]:
    """Masks B N H W as the levels see them, from coarse to fine: halved by their maximum, odd rests kept."""
    for _ in range(FINEST):
        masks = F.max_pool2d(masks, 2, ceil_mode=True)
    finer = [masks]
    for _ in range(levels - 1):
        finer.append(F.max_pool2d(finer[-1], 2, ceil_mode=True))
    return finer[::-1]


def enlarged(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """B N C h w or B N h w -> the same of another size, bilinear between the centres of the corner cells."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    flat = maps.flatten(0, 1) if maps.ndim == 5 else maps
    larger = F.interpolate(flat, size=size, mode="bilinear", align_corners=True)
    return larger.unflatten(0, maps.shape[:2]) if maps.ndim == 5 else larger
