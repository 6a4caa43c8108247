"""What a box or a click says for certain about the first mask it leads to.

The prompt query answers by appearance and place; these rules hold it to what the person said. Maps are at a quarter of
the padded input (h w), coordinates in pixels of the padded input.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.geometry import MASK_STRIDE, NOBODY

MARGIN = 0.05
"""Share of a box's size by which an object may reach beyond it; half a cell comes on top."""


def inside_boxes(logits: Tensor, boxes: Tensor, margin: float = MARGIN) -> Tensor:
    """An object lies in its box, give or take `margin` of its size (and half a cell).

    Args:
        logits: h w mask logits of the object.
        boxes: P 4 xyxy; it may be in any of them.
    Returns:
        h w, `NOBODY` outside.
    """
    height, width = logits.shape
    y, x = ((torch.arange(n, device=logits.device) + 0.5) * MASK_STRIDE for n in (height, width))
    slack = (boxes[:, 2:] - boxes[:, :2]) * margin + MASK_STRIDE / 2
    low, high = (boxes[:, :2] - slack).to(logits), (boxes[:, 2:] + slack).to(logits)
    in_x = (x >= low[:, :1]) & (x <= high[:, :1])
    in_y = (y >= low[:, 1:]) & (y <= high[:, 1:])
    allowed = (in_y[:, :, None] & in_x[:, None]).any(0)
    return logits.masked_fill(~allowed, NOBODY)


def around_points(logits: Tensor, points: Sequence[tuple[float, float]]) -> Tensor:
    """An object is what was clicked at: the connected parts of its mask that hold a positive click.

    Args:
        logits: h w mask logits of the object, the mask being where they are positive.
        points: (x, y) of the positive clicks.
    Returns:
        h w, `NOBODY` in the other parts; unchanged where no click lies in the mask.
    """
    mask = (logits > 0).cpu().numpy()
    stray = mask & ~parts_at(mask, [(x / MASK_STRIDE, y / MASK_STRIDE) for x, y in points])
    return logits.masked_fill(torch.from_numpy(stray).to(logits.device), NOBODY) if stray.any() else logits


def parts_at(mask: NDArray[np.bool_], points: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    """The connected parts of a mask that hold one of these points; all of it where none does.

    Args:
        mask: h w.
        points: (x, y) in its cells; beyond the border, the nearest ones count.
    """
    from scipy import ndimage  # only now: SciPy takes its time, and only clicks need it

    parts, count = ndimage.label(mask, structure=np.ones((3, 3)))
    height, width = mask.shape
    hit = {int(parts[min(int(y), height - 1), min(int(x), width - 1)]) for x, y in points} - {0}
    return mask if not hit or len(hit) == count else np.isin(parts, sorted(hit))
