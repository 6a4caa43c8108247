"""Several answers to one prompt: the best one learns, and all learn how good they are (SAM, section 3 and appendix A).

Shapes: B clips of one frame, N objects, A answers, P points.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.losses.counting import ALONE, Counting
from univs.losses.set_criterion import point_mask_losses

SHARED = 0.1
"""Share of the loss that goes to all answers alike, so that none of them is left behind for good."""


def answer_losses(
    mask_logits: Tensor,
    quality: Tensor,
    targets: Tensor,
    valid: Tensor,
    points: int,
    unknown: Tensor | None = None,
    counting: Counting = ALONE,
) -> dict[str, Tensor]:
    """Losses of A answers to each of N prompts.

    Args:
        mask_logits: B N A h w; quality: B N A logits of the IoU.
        targets: B N H W 0/1, H W multiples of h w; valid: B N, False for padding rows, which do not count.
        points: a mask is sampled at.
        unknown: B H W bool, pixels that weigh nothing; None: no pixel.
        counting: of the valid prompts.
    Returns:
        unweighted `answers` (cross-entropy plus dice of the answer that fits best, and a little of all) and `quality`
        (squared error of the predicted IoU), scalars over valid prompts; 0 where there are none.
    """
    clips, objects, several = mask_logits.shape[:3]
    rows = mask_logits.flatten(0, 2)
    wanted = targets[:, :, None].expand(-1, -1, several, -1, -1).flatten(0, 2)
    beside = None
    if unknown is not None:
        beside = unknown[:, None, None].expand(-1, objects, several, -1, -1).flatten(0, 2)
    cross_entropy, dice = point_mask_losses(rows, wanted, points, beside)
    each = (cross_entropy + dice).view(clips, objects, several)
    with torch.no_grad():
        true = answer_ious(mask_logits, targets, unknown)
    return combined_answers(each, true, quality, valid, counting)


def combined_answers(
    each: Tensor, true: Tensor, quality: Tensor, valid: Tensor, counting: Counting = ALONE
) -> dict[str, Tensor]:
    """`answers` and `quality` from the loss, the true IoU and the predicted one (logits) of each: B N A; valid: B N."""
    fit = (1 - SHARED) * each.amin(2) + SHARED * each.mean(2)
    error = (quality.sigmoid() - true).square().mean(2)
    counted = counting.share(valid.sum())
    return {
        "answers": torch.where(valid, fit, 0).sum() / counted,
        "quality": torch.where(valid, error, 0).sum() / counted,
    }


def answer_ious(mask_logits: Tensor, targets: Tensor, unknown: Tensor | None = None) -> Tensor:
    """IoU B N A of the masks (where logits B N A h w are positive) with targets B N H W, on cells of the logits.

    A cell is of the object where more than half of it is; cells with unknown pixels do not count. Two empty masks: 0.
    """
    size = (mask_logits.shape[-2], mask_logits.shape[-1])
    true = (F.adaptive_avg_pool2d(targets.float(), size) > 0.5)[:, :, None]
    known = torch.ones_like(true)
    if unknown is not None:
        known = (F.adaptive_max_pool2d(unknown.float(), size) == 0)[:, None, None]
    said = (mask_logits > 0) & known
    true = true & known
    shared, either = (said & true).flatten(3).sum(3), (said | true).flatten(3).sum(3)
    return shared / either.clamp_min(1)
