"""What SiamMask is taught with: which anchors hold the object, their boxes, and the masks of the cells that do.

SiamMask, section 3.2, eq. 2 and 3. Shapes: B crops, A anchors, n cells to a side, K cells, S pixels to a side.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.losses.masks import dice_loss
from univs.models.siammask_crops import TEMPLATE
from univs.models.siammask_refinement import windows
from univs.models.siammask_trunk import STRIDE


def anchor_score_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Half the mean over anchors that hold the object and half that over those that do not.

    Args:
        scores: B 2 A n n logits, of background and object.
        labels: B A n n, 1, 0, and -1 for what does not count. A kind that is not there gives 0.
    """
    losses = -scores.log_softmax(1)
    parts = []
    for kind in (1, 0):
        chosen = labels == kind
        parts.append((losses[:, kind] * chosen).sum() / chosen.sum().clamp_min(1))
    return (parts[0] + parts[1]) / 2


def anchor_box_loss(boxes: Tensor, deltas: Tensor, weights: Tensor) -> Tensor:
    """Absolute differences B 4 A n n, weighted B A n n, summed, of a crop."""
    return ((boxes - deltas).abs().sum(1) * weights).sum() / len(boxes)


def cell_masks(masks: Tensor, cells: Tensor, count: int) -> Tensor:
    """What masks of cells are to be.

    Args:
        masks: B S S of the crops, 1 for the object, -1 for the rest, 0 for what is not known.
        cells: K 3 (row of the batch, y, x), of count x count.
    Returns:
        K 127 127, 0 outside of the crop.
    """
    return windows(masks[:, None].float(), cells, count, TEMPLATE, STRIDE)[:, 0]


def cell_mask_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of log(1 + exp(-y x)) over cells and pixels; 0 without a cell.

    Args:
        logits: K m m, enlarged to the targets' size (corners on corners).
        targets: K 127 127 of `cell_masks`; pixels of 0 count as log 2, whatever is said there, as in the official
            program.
    """
    if not len(logits):
        return logits.sum()
    size = targets.shape[-2:]
    if logits.shape[-2:] != size:
        logits = F.interpolate(logits[:, None], size=size, mode="bilinear", align_corners=True)[:, 0]
    return F.softplus(-targets * logits).mean()


def cell_dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean Dice loss of cells (ours: that of `cell_mask_loss` counts background as much as an object that is thin).

    Args:
        logits: K m m. targets: K m m, 1, -1, and 0 for pixels that do not count.
    """
    known = targets != 0
    return dice_loss(logits.flatten(1), (targets > 0).float().flatten(1), known.flatten(1)).mean()


def positive_cells(labels: Tensor) -> Tensor:
    """Labels B A n n -> K 3 (row of the batch, y, x) of the cells of which any anchor holds the object."""
    return torch.nonzero((labels == 1).any(1))
