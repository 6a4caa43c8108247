"""What a closer look at objects learns: their masks, in the squares, and how good each is.

Shapes: N objects, c cells to a side of a square, C = a multiple of c.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.losses.counting import ALONE, Counting
from univs.losses.masks import binary_cross_entropy, dice_loss


def refinement_losses(
    mask_logits: Tensor,
    quality: Tensor,
    truth: Tensor,
    known: Tensor,
    total: Tensor,
    valid: Tensor,
    learns: Tensor,
    counting: Counting = ALONE,
) -> dict[str, Tensor]:
    """Losses of N masks in their squares.

    Args:
        mask_logits: N c c; quality: N logits of the IoU.
        truth: N C C 0/1; known: N C C bool, False for what weighs nothing.
        total: N, known cells (of C x C to a square) that the object has, in the square and beyond it: what is missed
            there is missed.
        valid: N bool, False for padding rows, which do not count.
        learns: N bool, whose masks learn; all valid ones learn how good they are.
        counting: of the objects.
    Returns:
        unweighted `mask` (cross-entropy), `dice` and `quality` (squared error of the predicted IoU), scalars; 0 where
        there are no objects.
    """
    size = (truth.shape[-2], truth.shape[-1])
    logits = F.interpolate(mask_logits[:, None].float(), size, mode="bilinear", align_corners=False)[:, 0]
    rows, wanted, counted = logits.flatten(1), truth.float().flatten(1), known.flatten(1)
    with torch.no_grad():
        said, true = (rows > 0) & counted, (wanted > 0.5) & counted
        shared = (said & true).sum(1)
        iou = (shared / (said.sum(1) + total - shared).clamp_min(1)).clamp(0, 1)
    error = (quality.float().sigmoid() - iou).square()
    masks, every = valid & learns, counting.share(valid.sum())
    some = counting.share(masks.sum())
    return {
        "mask": torch.where(masks, binary_cross_entropy(rows, wanted, counted), 0).sum() / some,
        "dice": torch.where(masks, dice_loss(rows, wanted, counted), 0).sum() / some,
        "quality": torch.where(valid, error, 0).sum() / every,
    }
