"""Cross-entropy over the hardest pixels of each video, as FEELVOS is trained (Voigtlaender et al., CVPR 2019).

Unlike `bootstrapped_cross_entropy`, pixels that are ignored take part in the choice, with a loss of 0, but not in the
mean of what is chosen.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.masks.meanings import IGNORE


def hardest_cross_entropy(logits: Tensor, labels: Tensor, kept_share: float) -> Tensor:
    """Cross-entropy of objects, mean over the hardest pixels that count.

    Args:
        logits: B N H W, background first.
        labels: B H W integers in 0..N-1, or 255 where nothing is known.
        kept_share: the hardest pixels are so large a share of all, those that are ignored among them.
    Returns:
        B, a loss for each video; 0 where no pixel counts.
    """
    loss = F.cross_entropy(logits, labels.long(), reduction="none", ignore_index=IGNORE).flatten(1)
    known = (labels != IGNORE).flatten(1)
    if kept_share >= 1:
        return loss.sum(1) / known.sum(1).clamp_min(1)
    count = max(1, int(kept_share * loss.shape[1]))
    kept, places = loss.topk(count, dim=1, sorted=False)
    counted = known.gather(1, places) & (kept > 0)
    return (kept * counted).sum(1) / counted.sum(1).clamp_min(1)


def triplet_loss(anchors: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor, weight: float = 3.0) -> Tensor:
    """Pixels should be nearer to the nearest pixel of their object than to the nearest of any other, by a margin of 1.

    Trains embeddings that are read by their nearest neighbours, without a head.

    Args:
        anchors: P E embeddings of some pixels of the first frame, 256 at most in official training.
        labels: P of them.
        others: M E embeddings of the pixels of the other frames.
        other_labels: M of them.
    Returns:
        scalar, mean over the anchors, 0 for those whose object is not among the others; times `weight`.
    """
    same = labels[:, None] == other_labels[None]
    with torch.no_grad():  # which ones are nearest; the way back goes through them alone, not through all pairs
        apart = torch.cdist(anchors, others)
        nearest = [apart.masked_fill(hidden, torch.inf).argmin(1) for hidden in (~same, same)]
    positive, negative = ((anchors - others[places]).square().sum(1) for places in nearest)
    loss = torch.where(same.all(1), 0, (positive - negative + 1).relu())  # without any other, the nearest is far
    return weight * torch.where(same.any(1), loss, 0).mean()
