"""How good a mask is, and whether two appearances are of one object: free functions of the official rules.

Shapes: N objects, M found queries, H history vectors, T frames of the clip, C channels, h w any map size.
Source: UniVS, section 3.4, and its released inference settings.
"""

from __future__ import annotations

import torch
from torch import Tensor

SURE_LOGIT = 1.0
"""A mask logit beyond this is sure: above it inside, below its negative outside."""


def quality_counts(logits: Tensor) -> Tensor:
    """N ... logits -> N 2: cells that are surely inside, and cells that are not surely outside.

    Counts of several frames may be added up before `quality_of` divides them. Row by row: torch sums booleans over an
    axis through a copy of eight bytes each.
    """
    counts = [torch.count_nonzero(row > level) for row in logits for level in (SURE_LOGIT, -SURE_LOGIT)]
    return torch.stack(counts).view(-1, 2) if counts else logits.new_zeros(0, 2, dtype=torch.long)


def quality_of(counts: Tensor) -> Tensor:
    """N 2 counts -> N mask qualities in 0..1 (the stability score of Segment Anything, without its scale)."""
    return counts[:, 0] / counts[:, 1].clamp_min(1)


def mask_quality(logits: Tensor) -> Tensor:
    """N ... mask logits -> N: the share of the not surely outside that is surely inside; 0 where that is nothing."""
    return quality_of(quality_counts(logits))


def consistency(history: Tensor, current: Tensor, steepness: float = 5.0) -> Tensor:
    """How alike an object looks to what is remembered of it.

    The cosine of each remembered vector with each frame of the clip, mean over the frames, then a weighted mean over
    the history whose weights grow like exp(steepness * k / H), k = 1..H; all-zero vectors don't count.

    Args:
        history: N H C, the newest last.
        current: N T C.
    Returns:
        N, in -1..1; 0 where nothing is remembered.
    """
    remembered, seen = (x / x.norm(dim=-1, keepdim=True).clamp_min(1e-3) for x in (history, current))
    alike = (remembered @ seen.transpose(1, 2)).mean(-1)  # N H
    length = history.shape[1]
    weights = (steepness * torch.arange(1, length + 1, device=history.device, dtype=history.dtype) / length).exp()
    weights = weights * (history != 0).any(-1)
    return (alike * weights).sum(1) / weights.sum(1).clamp_min(1e-3)


def averaged_slots(stored: Tensor, new: Tensor) -> Tensor:
    """... C vectors: the mean of both, or the new one where the stored one is all zero."""
    return torch.where((stored != 0).any(-1, keepdim=True), (stored + new) / 2, new)


def bisoftmax(history: Tensor, found: Tensor) -> Tensor:
    """How likely each found query is each known object (BiSoftmax of QDTrack, section 3.3), over all pairs of frames.

    Args:
        history: N H C embeddings of the objects.
        found: M T C embeddings of the queries.
    Returns:
        N M in 0..1: mean over the H T pairs of (soft-max over the queries + soft-max over the objects) / 2.
    """
    pairs = torch.einsum("nhc,mtc->htnm", history, found)
    return ((pairs.softmax(-1) + pairs.softmax(-2)) / 2).mean((0, 1))


def assign(similarity: Tensor, threshold: float) -> list[tuple[int, int, float]]:
    """One-to-one pairs (object, query, similarity) of the largest total, those above the threshold.

    Args:
        similarity: N M; entries below the threshold count as 0 in the total.
    """
    from scipy.optimize import linear_sum_assignment  # only now: SciPy takes its time, and only what is found needs it

    if 0 in similarity.shape:
        return []
    counted = similarity.masked_fill(similarity < threshold, 0.0)
    rows, columns = linear_sum_assignment(1 - counted.cpu().double().numpy())
    pairs = [(int(row), int(column), float(counted[row, column])) for row, column in zip(rows, columns, strict=True)]
    return [pair for pair in pairs if pair[2] > threshold]
