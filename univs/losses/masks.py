"""Mask losses. N masks, P points or pixels of each; K classes of a label map.

Where `counted` (N P bool) is given, the points for which it does not hold weigh nothing; None: all of them count.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def binary_cross_entropy(logits: Tensor, targets: Tensor, counted: Tensor | None = None) -> Tensor:
    """Sigmoid cross-entropy, mean over the points of a mask that count, 0 where none does: N P, N P -> N."""
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return loss.mean(1) if counted is None else torch.where(counted, loss, 0).sum(1) / counted.sum(1).clamp_min(1)


def dice_loss(logits: Tensor, targets: Tensor, counted: Tensor | None = None) -> Tensor:
    """``1 - (2 sum(p g) + 1) / (sum p + sum g + 1)`` of sigmoid probabilities: N P, N P -> N (V-Net, eq. 1)."""
    return soft_dice_loss(logits.sigmoid(), targets, counted)


def soft_dice_loss(probabilities: Tensor, targets: Tensor, counted: Tensor | None = None) -> Tensor:
    """`dice_loss` of probabilities: N P, N P -> N."""
    if counted is not None:
        probabilities, targets = probabilities * counted, targets * counted
    overlap = 2 * (probabilities * targets).sum(1)
    return 1 - (overlap + 1) / (probabilities.sum(1) + targets.sum(1) + 1)


def bootstrapped_cross_entropy(
    logits: Tensor, labels: Tensor, kept_share: float, ignore: int = 255, *, together: bool = False
) -> Tensor:
    """Cross-entropy over the hardest share of all pixels (Wu et al. 2016; used so by STM's followers).

    Args:
        logits: B K H W, background first.
        labels: B H W integers in 0..K-1, or `ignore`.
        kept_share: share of the pixels of each image that counts, 1 = all.
        together: share of the pixels of all images instead, so that some count more than others (MiVOS).
    Returns:
        scalar, mean over the kept pixels and the images; ignored pixels weigh 0.
    """
    loss = F.cross_entropy(logits, labels.long(), reduction="none", ignore_index=ignore)
    loss = loss.reshape(1 if together else len(loss), -1)
    if kept_share >= 1:
        return loss.mean()
    kept = max(1, int(kept_share * loss.shape[1]))
    return torch.topk(loss, kept, dim=1, sorted=False).values.mean()


def selected_cross_entropy(logits: Tensor, labels: Tensor, second: Tensor, kept_share: float) -> Tensor:
    """`bootstrapped_cross_entropy` of images with two objects or one, as MiVOS trains propagation and fusion.

    Args:
        logits: B 3 H W: background, first and second object.
        labels: B H W integers 0, 1, 2; no 2 where there is one object.
        second: B bool, whether there is a second object; where there is none, its channel does not compete.
        kept_share: share of the pixels of each image that counts, 1 = all.
    Returns:
        scalar, mean over the images.
    """
    images = zip(logits, labels, second.tolist(), strict=True)
    losses = [
        bootstrapped_cross_entropy(one[None, : 3 if two else 2], label[None], kept_share) for one, label, two in images
    ]
    return torch.stack(losses).mean()
