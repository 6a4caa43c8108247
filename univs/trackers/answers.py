"""What the loop says about one frame; a task makes a result of it.

Shapes: N objects, H W pixels of the frame, H' W' of the padded input.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.full_size import label_map
from univs.masks.geometry import Geometry


@dataclass(frozen=True)
class Answer(ABC):
    """The objects of one frame, whoever answered.

    scores: object id -> confidence 0..1, 0 where it is not visible, 1 where its mask was given.
    """

    frame_index: int
    object_ids: tuple[int, ...]
    scores: Mapping[int, float]
    geometry: Geometry

    @abstractmethod
    def labels(self) -> NDArray[Any]:
        """H W object ids at the frame's size, 0 where there is none."""

    @abstractmethod
    def masks(self) -> dict[int, NDArray[np.bool_]]:
        """Object id -> H W mask at the frame's size; they may overlap."""


@dataclass(frozen=True)
class CompetingAnswer(Answer):
    """Objects that met in soft aggregation.

    log_odds: N+1 H'/4 W'/4, background first, objects in the order of object_ids. given: object id -> H W mask that
    came as a prompt on this frame and is the object's answer as it is.
    """

    log_odds: Tensor
    given: Mapping[int, NDArray[np.bool_]]

    def labels(self) -> NDArray[Any]:
        """The most likely object of each pixel; of two given masks that overlap the later one wins."""
        decoded = [row for row, object_id in enumerate(self.object_ids, start=1) if object_id not in self.given]
        ids = [self.object_ids[row - 1] for row in decoded]
        labels = label_map(self.log_odds[[0, *decoded]], ids, self.geometry, label_type(self.object_ids))
        for object_id, mask in self.given.items():
            labels[mask] = object_id
        return labels

    def masks(self) -> dict[int, NDArray[np.bool_]]:
        labels = self.labels()
        return {object_id: labels == object_id for object_id in self.object_ids}


@dataclass(frozen=True)
class SeparateAnswer(Answer):
    """Objects each on their own.

    logits: N H' W', positive inside. Where masks overlap, the label is that of the
    object that comes first in object_ids.
    """

    logits: Tensor

    def labels(self) -> NDArray[Any]:
        labels = np.zeros((self.geometry.height, self.geometry.width), label_type(self.object_ids))
        for object_id, mask in reversed(self.masks().items()):
            labels[mask] = object_id
        return labels

    def masks(self) -> dict[int, NDArray[np.bool_]]:
        if not self.object_ids:
            return {}
        return dict(zip(self.object_ids, self._inside().numpy(), strict=True))

    def _inside(self) -> Tensor:
        return (self.geometry.from_padded(self.logits) > 0).cpu()


@dataclass(frozen=True)
class Segment:
    """What a number in the map stands for: a class (0-based), thing or stuff."""

    number: int
    category: int
    is_thing: bool


@dataclass(frozen=True)
class PanopticAnswer(Answer):
    """Segments of one frame. segments: H W numbers, 0 where there is none. names: number -> class."""

    segments: NDArray[np.int32]
    infos: Mapping[int, Segment]
    names: Mapping[int, str]

    def labels(self) -> NDArray[Any]:
        return self.segments

    def masks(self) -> dict[int, NDArray[np.bool_]]:
        return {number: self.segments == number for number in self.object_ids}


def painted(masks: Mapping[int, NDArray[np.bool_]], geometry: Geometry) -> NDArray[Any]:
    """H W object ids of masks that may overlap: the larger id wins, which is the later of two expressions."""
    labels = np.zeros((geometry.height, geometry.width), label_type(tuple(masks)))
    for object_id in sorted(masks):
        labels[masks[object_id]] = object_id
    return labels


def label_type(object_ids: tuple[int, ...]) -> type[np.integer[Any]]:
    """The smallest type that holds these ids."""
    return np.uint8 if max(object_ids, default=0) <= 255 else np.int32
