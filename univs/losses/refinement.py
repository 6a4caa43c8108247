"""What a closer look at objects learns: their masks, in the squares.

Shapes: N objects, c cells to a side of a square, C = a multiple of c.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.losses.counting import ALONE, Counting
from univs.losses.masks import binary_cross_entropy, dice_loss


def refinement_losses(
    mask_logits: Tensor, truth: Tensor, known: Tensor, learns: Tensor, counting: Counting = ALONE
) -> dict[str, Tensor]:
    """Losses of N masks in their squares.

    Args:
        mask_logits: N c c.
        truth: N C C 0/1; known: N C C bool, False for what weighs nothing.
        learns: N bool, whose masks learn.
        counting: of the objects that do.
    Returns:
        unweighted `mask` (cross-entropy) and `dice`, scalars; 0 where there are no objects.
    """
    size = (truth.shape[-2], truth.shape[-1])
    logits = F.interpolate(mask_logits[:, None].float(), size, mode="bilinear", align_corners=False)[:, 0]
    rows, wanted, counted = logits.flatten(1), truth.float().flatten(1), known.flatten(1)
    share = counting.share(learns.sum())
    return {
        "mask": torch.where(learns, binary_cross_entropy(rows, wanted, counted), 0).sum() / share,
        "dice": torch.where(learns, dice_loss(rows, wanted, counted), 0).sum() / share,
    }
