"""What a batch of labelled clips asks of the model: target masks at several sizes.

Shapes: B clips, T frames, M targets of a clip (0 padded), G objects of a clip, S pixels of a side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.masks.meanings import IGNORE

PADDING_LOGIT = -12.0
"""Logit given to the rows of padding targets, so that they never compete."""


@dataclass(frozen=True)
class Aim:
    """The targets of a batch."""

    masks: Tensor
    """B M T S S float 0/1, zero for padding."""
    quarter: Tensor
    """B M T S/4 S/4, area averages of `masks`."""
    classes: Tensor
    """B T S S: 0 background, 1..M the targets, `IGNORE` where the label map says so."""
    valid: Tensor
    """B M bool, False for padding."""


def read_aim(labels: Tensor, targets: Tensor) -> Aim:
    """The targets of label maps B T S S (ids) for target ids B M (0 = padding)."""
    wanted = targets[:, :, None, None, None]
    masks = ((labels[:, None] == wanted) & (wanted > 0)).float()
    number = torch.arange(1, targets.shape[1] + 1, device=labels.device)[None, :, None, None, None]
    classes = (masks * number).sum(1).long()
    classes = classes.masked_fill(labels == IGNORE, IGNORE)
    return Aim(
        masks,
        F.avg_pool2d(masks.flatten(0, 2)[:, None], 4).unflatten(0, masks.shape[:3])[:, :, :, 0],
        classes,
        targets > 0,
    )
