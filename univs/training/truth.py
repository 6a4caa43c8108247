"""What is known of the frames of a batch: label maps, boxes, or either by clip; and the targets made of it.

Shapes: F frames of S x S pixels, K objects that are asked for (id 0 = none), G objects of a clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from univs.losses import Appearance, BoxTargets, BoxTerms, CriterionWeights, EitherTargets, MaskTargets, Targets
from univs.losses.boxes import fill_boxes
from univs.masks.geometry import MASK_STRIDE
from univs.masks.meanings import IGNORE

Known = Literal["masks", "boxes", "either"]


class FrameTruth(Protocol):
    """What is known of F frames."""

    def targets(self, ids: Tensor) -> tuple[Targets, Tensor]:
        """Targets of objects F K (as clips of one frame), and F K bool: which of them are seen."""
        ...

    def frames(self, index: Tensor) -> FrameTruth:
        """Some of the frames."""
        ...


@dataclass(frozen=True)
class MaskTruth:
    """Label maps F S S: object ids, 0 background, 255 unknown."""

    labels: Tensor
    weights: CriterionWeights

    def targets(self, ids: Tensor) -> tuple[MaskTargets, Tensor]:
        masks, seen = masks_of(self.labels, ids)
        return MaskTargets(masks, self.weights, (self.labels == IGNORE)[:, None]), seen

    def frames(self, index: Tensor) -> MaskTruth:
        return MaskTruth(self.labels[index], self.weights)


@dataclass(frozen=True)
class BoxTruth:
    """Boxes F G 4 of the objects 1..G (zeros where one is not seen), and what the colours of the frames say.

    size: S. step: number of the training step, from 1.
    """

    boxes: Tensor
    seen: Appearance
    terms: BoxTerms
    size: int
    step: int

    def targets(self, ids: Tensor) -> tuple[BoxTargets, Tensor]:
        boxes = boxes_of(self.boxes, ids)
        filled = filled_boxes(boxes, self.size)
        return BoxTargets(filled[:, :, None], self.seen, self.terms, self.step), (boxes != 0).any(-1)

    def frames(self, index: Tensor) -> BoxTruth:
        return BoxTruth(self.boxes[index], self.seen.frames(index), self.terms, self.size, self.step)


@dataclass(frozen=True)
class EitherTruth:
    """Boxes of some frames (`boxed`, F bool), label maps of the others."""

    masks: MaskTruth
    boxes: BoxTruth
    boxed: Tensor

    def targets(self, ids: Tensor) -> tuple[EitherTargets, Tensor]:
        masks, seen = self.masks.targets(ids)
        boxes, there = self.boxes.targets(ids)
        return EitherTargets(masks, boxes, self.boxed), torch.where(self.boxed[:, None], there, seen)

    def frames(self, index: Tensor) -> EitherTruth:
        return EitherTruth(self.masks.frames(index), self.boxes.frames(index), self.boxed[index])


def masks_of(labels: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Masks F K 1 S S (0/1, zero for id 0) of objects F K on label maps F S S, and F K bool: which there are."""
    wanted = ids[:, :, None, None, None]
    masks = (labels[:, None, None] == wanted) & (wanted > 0)
    return masks.float(), masks.flatten(2).any(2)


def boxes_of(boxes: Tensor, ids: Tensor) -> Tensor:
    """Boxes F K ... 4 of objects F K among F G ... 4, which are numbered from 1; zeros for id 0."""
    extra = boxes.dim() - ids.dim()
    place = (ids - 1).clamp(0, max(boxes.shape[1] - 1, 0)).view(*ids.shape, *[1] * extra)
    there = (ids > 0).view(*ids.shape, *[1] * extra)
    return torch.where(there, boxes.gather(1, place.expand(-1, -1, *boxes.shape[2:])), 0)


def filled_boxes(boxes: Tensor, size: int) -> Tensor:
    """Boxes ... 4 in pixels of S x S -> ... S/4 S/4, filled."""
    cells = size // MASK_STRIDE
    return fill_boxes(boxes, (cells, cells), MASK_STRIDE)
