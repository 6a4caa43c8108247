"""What a box says of the mask in it: how far it reaches, and that neighbours of one colour are of one object (BoxInst).

Shapes: R masks of h w cells, N frames, D = 8 neighbours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NEIGHBOURS = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))
"""Steps (down, right) to the cells around one, row by row."""


def fill_boxes(boxes: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Filled boxes on cells: ... 4 xyxy in pixels, h w cells of `stride` pixels -> ... h w in 0..1.

    A cell has the share of the two by two pixels in its middle that lie in the box: what bilinear resizing makes of a
    mask that fills it. A box without an area gives an empty map.
    """
    sides = []
    for axis, count in ((1, size[0]), (0, size[1])):
        middle = stride * (torch.arange(count, device=boxes.device, dtype=boxes.dtype) + 0.5)
        low, high = boxes[..., axis, None], boxes[..., axis + 2, None]
        overlap = torch.minimum(high, middle + 1) - torch.maximum(low, middle - 1)
        sides.append(overlap.clamp_min(0) / 2)
    return sides[0][..., :, None] * sides[1][..., None, :]


def boxes_of_masks(masks: Tensor) -> Tensor:
    """The filled tight box of each mask: ... h w bool -> the same shape, bool; empty where the mask is."""
    rows, columns = (reach(masks.any(axis)) for axis in (-1, -2))
    return rows[..., :, None] & columns[..., None, :]


def reach(there: Tensor) -> Tensor:
    """From the first to the last True along the last axis: ... n bool -> ... n bool."""
    after = there.long().cumsum(-1) > 0
    before = there.flip(-1).long().cumsum(-1).flip(-1) > 0
    return after & before


def projection_loss(logits: Tensor, boxes: Tensor) -> Tensor:
    """Dice of the shadows that mask and box cast on both axes (BoxInst, eq. 3-5; the squares of V-Net below).

    Args:
        logits: R h w.
        boxes: R h w in 0..1, filled boxes.
    Returns:
        R, from 0 (the mask reaches exactly as far as the box) to 2.
    """
    probability = logits.float().sigmoid()
    down, across = (_squared_dice(probability.amax(axis), boxes.float().amax(axis)) for axis in (2, 1))
    return down + across


def outside_loss(logits: Tensor, boxes: Tensor) -> Tensor:
    """Cross-entropy of the cells that no part of the box covers, which are certainly not of the object.

    The projection has no gradient where a box is empty: this keeps the mask away from frames without the object.

    Args:
        logits: R h w; boxes: R h w in 0..1, filled boxes.
    Returns:
        R, mean over all cells.
    """
    return torch.where(boxes > 0, 0, F.softplus(logits.float())).flatten(1).mean(1)


def _squared_dice(found: Tensor, wanted: Tensor) -> Tensor:
    """``1 - 2 sum(p g) / (sum p^2 + sum g^2 + 1e-5)``: R n, R n -> R."""
    below = found.square().sum(1) + wanted.square().sum(1) + 1e-5
    return 1 - 2 * (found * wanted).sum(1) / below


def colour_similarity(colours: Tensor, dilation: int = 2) -> Tensor:
    """``exp(-|c - c'| / 2)`` of each cell with its 8 neighbours at `dilation` cells: N 3 h w LAB -> N D h w.

    Beyond the frame all is black.
    """
    around = neighbours(colours, dilation)
    return torch.exp(-0.5 * (around - colours[:, :, None]).norm(dim=1))


def neighbours(maps: Tensor, dilation: int) -> Tensor:
    """The values around each cell: N C h w -> N C D h w, zero beyond the frame."""
    height, width = maps.shape[-2:]
    padded = F.pad(maps, (dilation,) * 4)
    return torch.stack(
        [
            padded[..., dilation * (1 + y) : dilation * (1 + y) + height, dilation * (1 + x) :][..., :width]
            for y, x in NEIGHBOURS
        ],
        2,
    )


def disagreement(logits: Tensor, others: Tensor) -> Tensor:
    """``-log(p p' + (1 - p)(1 - p'))``, how unlikely it is that both are of the object, or neither is (BoxInst, eq. 6).

    Of logits: ``log(1 + e^-x) + log(1 + e^-x') - log(1 + e^-(x + x'))``, which is the same, and finite for sure cells.
    """
    return F.softplus(-logits) + F.softplus(-others) - F.softplus(-(logits + others))


def pairwise_terms(logits: Tensor, alike: Tensor, boxes: Tensor, dilation: int = 2) -> tuple[Tensor, Tensor]:
    """Neighbours of like colour in a box should be of one object, or not, together (BoxInst, eq. 7).

    Args:
        logits: R h w.
        alike: R D h w bool, whether a neighbour has the colour of the cell.
        boxes: R h w in 0..1, filled boxes: the pairs whose first cell lies in the box count, each by its share.
    Returns:
        sums of the disagreement and of the weights, R each: the loss of many masks is the quotient of their sums. A
        neighbour beyond the frame disagrees with nobody.
    """
    logits = logits.float()
    weights = alike * boxes[:, None]
    others = neighbours(logits[:, None], dilation)[:, 0]
    inside = neighbours(torch.ones_like(logits[:1, None]), dilation)[:, 0] > 0
    terms = torch.where(inside, disagreement(logits[:, None], others), 0)
    return (terms * weights).flatten(1).sum(1), weights.flatten(1).sum(1)
