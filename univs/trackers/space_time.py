"""Following objects through a video by a space-time memory: STM, and the propagation of MiVOS.

Each frame reads, for each object, the frames that are remembered of it; the objects meet in soft aggregation, and the
frame is remembered with what came of it. Shapes: N objects, H W pixels of the frame, h w of the input (the frame,
perhaps resized), H' W' of the padded input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.frame_labels import label_type
from univs.masks.geometry import Geometry, split_padding
from univs.masks.soft_aggregation import joint_probabilities
from univs.models.space_time_memory import STRIDE, QueryFeatures, SpaceTimeMemory
from univs.results import FrameResult
from univs.settings import Count
from univs.trackers.memory_bank import Keeping, MemoryBank
from univs.trackers.object_prompts import shown_masks
from univs.trackers.tracker import Clip, Frame, Question


@dataclass(frozen=True)
class SpaceTimeSettings:
    """How much is remembered and read.

    top_k: positions of the memory that each position of a frame reads (MiVOS; 20 and 50 are its numbers); None: all
    (STM). memory_interval, at_multiples: which frames are kept (`Keeping`), beside those with a given mask, which are.
    memory_frames: kept frames at most, of 4 MiB an object each at 480 x 864 (`MemoryBank` says which give way); the
    official programs keep them all, and agree up to that many.
    """

    top_k: Count | None = 50
    memory_interval: Count = 5
    at_multiples: bool = False
    memory_frames: Count = 32


@dataclass(frozen=True)
class FramePlaces:
    """Where a frame lies in the padded input: in its middle, the smaller half of what is missing left and above."""

    geometry: Geometry

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """(left, right, top, bottom), pixels."""
        return split_padding(self.geometry.input_height, self.geometry.input_width, STRIDE)

    def image(self, model: SpaceTimeMemory, frame: NDArray[np.uint8]) -> Tensor:
        """H W 3 -> 1 3 H' W' normalised and padded."""
        shrunk = self.geometry.shrink_frame(frame).to(model.pixel_mean.device)
        return model.images(shrunk, self.padding)

    def mask(self, mask: NDArray[np.bool_]) -> Tensor:
        """H W -> H' W', 0 or 1."""
        shrunk = self.geometry.shrink_masks([mask])[:, : self.geometry.input_height, : self.geometry.input_width]
        return F.pad(shrunk, self.padding)[0]

    def inner(self, maps: Tensor) -> Tensor:
        """... H' W' -> ... h w."""
        left, _, top, _ = self.padding
        return maps[..., top : top + self.geometry.input_height, left : left + self.geometry.input_width]

    def remembered(self, model: SpaceTimeMemory, masks: Tensor) -> Tensor:
        """N H' W' -> the same, without what lies in the padding where that is nobody's."""
        return F.pad(self.inner(masks), self.padding) if model.black_padding else masks

    def labels(self, maps: Tensor, object_ids: tuple[int, ...]) -> NDArray[Any]:
        """P H' W' maps, whose names are `object_ids` -> H W, the name of the largest; of equal ones the first."""
        names = np.array(object_ids, label_type(object_ids))
        inner = self.inner(maps)
        if not self.geometry.resized:
            return names[inner.argmax(0).cpu().numpy()]
        size = (self.geometry.height, self.geometry.width)
        best = labels = None
        for number, one in zip(names, inner, strict=True):  # one at a time: frames may be large and objects many
            large = F.interpolate(one[None, None], size=size, mode="bilinear", align_corners=False)[0, 0].cpu().numpy()
            if best is None or labels is None:
                best, labels = large, np.full(size, number, names.dtype)
            else:
                ahead = large > best
                labels[ahead], best[ahead] = number, large[ahead]
        assert labels is not None
        return labels


class SpaceTimeTracker:
    """Follows any number of objects, which masks show, through one video (`Tracker`)."""

    def __init__(self, model: SpaceTimeMemory, question: Question, settings: SpaceTimeSettings) -> None:
        self.model, self.places, self.settings = model, FramePlaces(question.geometry), settings
        keeping = Keeping(settings.memory_interval, settings.memory_frames, settings.at_multiples)
        self.bank = MemoryBank(keeping)
        self._ids: tuple[int, ...] = ()

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that are being followed."""
        return self._ids

    def answer(self, clip: Clip[Frame]) -> list[FrameResult]:
        """One label map, of the one frame of the clip. UserError for prompts that are no masks."""
        (frame,) = clip.frames
        given = shown_masks(clip.prompts.get(frame.index, {}), "a space-time memory")
        joint = self.follow(frame, given)
        decoded = [row for row, object_id in enumerate(self._ids, start=1) if object_id not in given]
        labels = self.places.labels(joint[[0, *decoded]], (0, *(self._ids[row - 1] for row in decoded)))
        labels = labels.astype(label_type(self._ids), copy=False)
        for object_id, mask in given.items():
            labels[mask] = object_id
        scores = dict(zip(self._ids, confidence(self.places.inner(joint)), strict=True))
        scores.update(dict.fromkeys(given, 1.0))
        return [FrameResult(frame.index, labels, self._ids, scores)]

    def follow(self, frame: Frame, given: Mapping[int, NDArray[np.bool_]]) -> Tensor:
        """The next frame, on which these H W masks came: N+1 H' W' probabilities that add up to 1, background first.

        The objects are in the order of `object_ids`.
        """
        self._ids = tuple(dict.fromkeys((*self._ids, *given)))
        images = self.places.image(self.model, frame.image)
        shown = {object_id: self.places.mask(mask).to(images.device) for object_id, mask in given.items()}
        alone = images.new_zeros(len(self._ids), *images.shape[-2:])
        asked = [row for row, object_id in enumerate(self._ids) if object_id not in given]
        if asked:
            query = self.model.encode_query(images)
            for row in asked:
                alone[row] = self._alone(query, self._ids[row])
        joint = meeting(alone, {self._ids.index(object_id): mask for object_id, mask in shown.items()})
        if self._ids:
            entries = self.model.encode_memory(images, self.places.remembered(self.model, joint[1:]))
            self.bank.write(frame.index, dict(zip(self._ids, entries, strict=True)), pinned=bool(given))
        return joint

    def finish(self) -> list[FrameResult]:
        """Nothing is left: every frame is answered at once."""
        return []

    def remove(self, object_id: int) -> None:
        """Stop following an object. KeyError if it is not known."""
        if object_id not in self._ids:
            raise KeyError(object_id)
        self._ids = tuple(known for known in self._ids if known != object_id)
        self.bank.remove(object_id)

    def _alone(self, query: QueryFeatures, object_id: int) -> Tensor:
        """H' W' probability of an object by itself."""
        known = self.bank.read(object_id)
        readout = self.model.read(query, known.key, known.value, self.settings.top_k)
        return self.model.decode(query, readout[None])[0].sigmoid()


def meeting(alone: Tensor, given: Mapping[int, Tensor]) -> Tensor:
    """Objects meet in soft aggregation; where a mask is given, it is right.

    Args:
        alone: N H W probabilities of the objects by themselves; rows of given masks are not read.
        given: row -> H W mask, 0 or 1; of two that overlap the later one counts.
    Returns:
        N+1 H W, background first.
    """
    if not given:
        return joint_probabilities(alone)
    alone = alone.clone()
    alone[list(given)] = 0
    joint = joint_probabilities(alone)
    joint[[row + 1 for row in given]] = 0
    for row, mask in given.items():
        inside = mask > 0
        joint[:, inside] = 0
        joint[row + 1, inside] = 1
    return joint / joint.sum(0, keepdim=True)


def confidence(joint: Tensor) -> list[float]:
    """Mean probability of each object inside its own mask, 0 where that is empty: N+1 h w, background first -> N."""
    best = joint.argmax(0)
    scores = []
    for row, probability in enumerate(joint[1:], start=1):
        inside = probability[best == row]
        scores.append(float(inside.mean()) if inside.numel() else 0.0)
    return scores
