"""What a `WordHead` is held to: boxes, names of masks, and names of cells.

Shapes: F frames, h w cells, G objects, K classes, R rows. `counting`: of what a loss is a mean over.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou, generalized_box_iou_loss

from univs.losses.counting import ALONE, Counting
from univs.losses.set_criterion import focal_losses

MIDDLE = 0.3
"""A cell answers for an object if it lies in the middle of its box, so wide as a share of the box."""


def assign_cells(boxes: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Which object each cell answers for: boxes G 4 xyxy (pixels) -> h w, -1 for none; the smaller object first."""
    y, x = ((torch.arange(n, device=boxes.device) + 0.5) * stride for n in size)
    owner = torch.full(size, -1, dtype=torch.long, device=boxes.device)
    centre, extent = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    for g in torch.argsort(extent.prod(1), descending=True).tolist():
        # the cells next to the centre where they lie in the box, and at least the one that the centre lies in
        reach = (0.5 * MIDDLE * extent[g]).clamp_min(stride).minimum(0.5 * extent[g])
        across, down = reach.clamp_min(stride / 2).tolist()
        inside = ((y - centre[g, 1]).abs() <= down)[:, None] & ((x - centre[g, 0]).abs() <= across)
        owner[inside] = g
    return owner


def box_losses(
    objectness: Tensor,
    predicted: Tensor,
    boxes: list[Tensor],
    known: Tensor,
    stride: int,
    counting: Counting = ALONE,
) -> Tensor:
    """Quality focal loss (Li et al. 2020) of objectness and GIoU loss of the boxes, a mean over the answering cells.

    Those of one object weigh the less the more they are: together as much as the root of their number, so that neither
    one large object outweighs a crowd nor the reverse.

    Args:
        objectness: F h w logits; predicted: F 4 h w boxes, xyxy in pixels.
        boxes: of each frame, G 4.
        known: F h w bool, whether a cell without an object is known to have none.
        stride: pixels of a cell.
    """
    total, count = objectness.sum() * 0, objectness.new_zeros(())
    for logits, found, wanted, sure in zip(objectness, predicted, boxes, known, strict=True):
        owner = assign_cells(wanted, (logits.shape[0], logits.shape[1]), stride)
        there = owner >= 0
        target, weight = torch.zeros_like(logits), torch.ones_like(logits)
        if bool(there.any()):
            ours, theirs = found[:, there].T, wanted[owner[there]]
            target[there] = box_iou(ours.detach(), theirs).diagonal()
            weight[there] = torch.bincount(owner[there], minlength=len(wanted))[owner[there]].to(logits).rsqrt()
            total = total + 2 * (weight[there] * generalized_box_iou_loss(ours, theirs)).sum()
            count += weight[there].sum()
        counted = there | sure
        gap = (logits.sigmoid() - target).abs().square()
        loss = weight * gap * F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        total = total + loss[counted].sum()
    return total / counting.share(count)


def name_losses(logits: Tensor, names: Tensor, vocabulary: Tensor, counting: Counting = ALONE) -> Tensor:
    """Focal loss over the classes of a vocabulary and soft-max cross-entropy (UniVS, section 3.4), mean over the rows.

    Args:
        logits: R K; names: R class of each row; vocabulary: R K bool, the classes that are told apart in its data set.
    """
    hot = F.one_hot(names, logits.shape[1]).to(logits.dtype)
    apart = focal_losses(logits[vocabulary], hot[vocabulary]).sum()
    choice = F.cross_entropy(logits.masked_fill(~vocabulary, -1e4), names, reduction="sum")
    return (apart + choice) / counting.share(logits.new_tensor(len(names)))


def cell_losses(logits: Tensor, shares: Tensor, known: Tensor, counting: Counting = ALONE) -> Tensor:
    """Names of cells: focal loss against the share of a cell that is of a class, and dice of each class in a frame.

    Args:
        logits, shares: F K h w, shares in 0..1; known: F K h w bool, where the answer is known.
    """
    probability = logits.sigmoid()
    gap = (probability - shares).abs().square()
    loss = gap * F.binary_cross_entropy_with_logits(logits, shares, reduction="none")
    present = (shares * known).flatten(2).amax(2) > 0.5
    named, classes = counting.share(torch.stack([(shares * known).sum(), present.sum()])).unbind()
    p, g = (x.flatten(2)[present] for x in (probability * known, shares * known))
    dice = 1 - (2 * (p * g).sum(1) + 1) / (p.sum(1) + g.sum(1) + 1)
    return (loss * known).sum() / named + dice.sum() / classes
