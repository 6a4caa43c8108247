"""Masks that exclude each other: every pixel belongs to one of them at most.

Shapes: F frames, N masks of each, P points.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from univs.losses.point_sampling import sample_points, uncertain_points
from univs.models.draws import Draws

NOBODY = -1


def segment_loss(logits: Tensor, segments: Tensor, points: int, draws: Draws | None = None) -> tuple[Tensor, Tensor]:
    """Soft-max cross-entropy over the masks of a frame, at points where the best of them is uncertain.

    Args:
        logits: F N h w.
        segments: F H W, the mask that a pixel belongs to, or -1: such points weigh nothing.
    Returns:
        mean over all points of a segment, 0 without any; how many they are.
    """
    where = uncertain_points(logits.amax(1), points, draws=draws)
    wanted = nearest_labels(segments, where)
    values = sample_points(logits, where)
    loss = F.cross_entropy(values.float(), wanted, ignore_index=NOBODY, reduction="sum")
    count = (wanted != NOBODY).sum()
    return loss / count.clamp_min(1), count


def nearest_labels(labels: Tensor, points: Tensor) -> Tensor:
    """The label of the pixel nearest to each point: F H W integers, F P 2 in [0, 1] -> F P."""
    maps = labels[:, None].double()
    grid = 2 * points.double().unsqueeze(2) - 1
    return F.grid_sample(maps, grid, "nearest", "border", align_corners=False)[:, 0, :, 0].long()
