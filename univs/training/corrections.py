"""Corrective clicks on a model's own mistakes, as a person makes them while a video is answered.

Shapes: B clips, M targets, h w a quarter of the input, E = B*M.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.masks.geometry import MASK_STRIDE

DEEPEST = 12
"""Cells from the border of a wrong region, up to which depths are told apart."""
LEAST_WRONG = 4
"""Cells; with fewer wrong ones an object needs no correction."""


@torch.no_grad()
def corrective_clicks(said: Tensor, truth: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """One click for each object, in the middle of the thickest region where its mask is wrong.

    Nothing waits for the device.

    Args:
        said: B M h w bool, the masks of the model.
        truth: B M h w shares 0..1 of the cells that are of the object.
        known: B h w or B M h w bool, False where nothing is known; nobody clicks there.
    Returns:
        points E 1 2 (x, y) in pixels of the input, at the centres of cells; signs E 1: 1 on the object, 0 beside it, -1
        where there is nothing to correct.
    """
    true = truth > 0.5
    wrong = ((said != true) & (known[:, None] if known.dim() == 3 else known)).flatten(0, 1).float()
    depth, left = wrong.clone(), wrong
    for _ in range(DEEPEST - 1):  # beyond the edge of the frame nothing is wrong
        left = -F.max_pool2d(-F.pad(left, (1, 1, 1, 1))[:, None], 3, 1)[:, 0]
        depth = depth + left
    # of equally deep places the one with most mistakes around it
    crowd = F.avg_pool2d(wrong[:, None], 7, 1, 3)[:, 0]
    place = (depth + crowd * wrong).flatten(1).argmax(1)
    width = wrong.shape[-1]
    xy = torch.stack([place % width, place // width], -1)
    sign = true.flatten(0, 1).flatten(1).gather(1, place[:, None]).long()
    sign = torch.where(wrong.flatten(1).sum(1, keepdim=True) >= LEAST_WRONG, sign, -1)
    return ((xy + 0.5) * MASK_STRIDE)[:, None].to(truth), sign
