"""Following objects through a video by RVOS: each has a slot, slots recur over each other and over the frames.

One-shot (`ShownTracker`): a slot sees the mask of its object, on the first frame and the one behind it the given one,
then its own probabilities of the frame before. Zero-shot (`FoundTracker`): slots find objects by themselves.
What is kept of a video is one hidden state for each level and slot, and a mask for each slot.
Shapes: N slots, H W pixels of the frame, h w of the input (the frame, perhaps resized).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.frame_labels import label_type
from univs.masks.geometry import Geometry
from univs.models.rvos import RVOS, SLOTS
from univs.results import FrameResult
from univs.settings import Count, Share
from univs.trackers.object_prompts import shown_masks
from univs.trackers.slot_merging import Masks, assigned, nearest, painted, slot_costs
from univs.trackers.slot_table import SlotTable
from univs.trackers.tracker import Clip, Frame, Question


@dataclass(frozen=True)
class SlotSettings:
    """slots: that are run on every frame, at least (a later object finds in its slot what the empty one gathered).

    threshold: probability above which a pixel is the slot's.
    """

    slots: Count = SLOTS
    threshold: Share = 0.5


@dataclass(frozen=True)
class ShownSettings(SlotSettings):
    """merging: how masks of slots become labels.

    "matched": as officially (`slot_merging`); on the frame on which an object is shown, it gets the slot that fits
    best, which need not be its own. "own": each object has its own slot, and the most probable counts.
    """

    merging: Literal["matched", "own"] = "matched"


@dataclass(frozen=True)
class FoundSettings(SlotSettings):
    """least_rank: an object is told on frames on which its rank is this at least.

    The rank of a slot is the mean probability inside its mask times the mask's share of the frame.
    """

    least_rank: Share = 0.001


class SlotStates:
    """What is kept of a video between two frames, and the step from one to the next."""

    def __init__(self, model: RVOS) -> None:
        self.model = model
        self.hidden: tuple[Tensor, ...] | None = None
        """Of each level 1 N C h w; None: no frame was answered yet."""
        self.masks: Tensor | None = None
        """1 N h w that slots see on the next frame, where they see masks."""

    def answer(self, images: Tensor, slots: int, shown: Mapping[int, Tensor]) -> Tensor:
        """The next frame.

        Args:
            images: 1 3 h w normalised.
            slots: N, never less than before.
            shown: slot -> h w mask that comes with this frame, 0 or 1.
        Returns:
            N h w probabilities.
        """
        size = (images.shape[-2], images.shape[-1])
        first = self.hidden is None
        before = None if self.hidden is None else tuple(more_slots(level, slots) for level in self.hidden)
        masks: Tensor | None = None
        if self.model.sees_masks:
            masks = images.new_zeros(1, slots, *size) if self.masks is None else more_slots(self.masks, slots).clone()
            for slot, mask in shown.items():
                masks[0, slot] = mask
        logits, states = self.model.decode(self.model.encode(images), masks, before, slots)
        probabilities = self.model.masks(logits, size).sigmoid()
        self.hidden = states.hidden
        self.masks = masks if first else probabilities  # what the first frame came to is not fed back
        return probabilities[0]

    def empty(self, slot: int) -> None:
        """A slot is as if nothing had ever been in it."""
        self.hidden = None if self.hidden is None else tuple(without(level, slot) for level in self.hidden)
        self.masks = None if self.masks is None else without(self.masks, slot)


class ShownTracker:
    """Follows any number of objects, which masks show, through one video (`Tracker`)."""

    def __init__(self, model: RVOS, question: Question, settings: ShownSettings) -> None:
        self.model, self.geometry, self.settings = model, question.geometry, settings
        self.expected = question.expected_ids
        self.table = SlotTable(settings.slots, question.expected_ids)
        self.states = SlotStates(model)
        self._matched: dict[int, int] = {}  # object id -> slot that is painted as it
        self._costs: dict[int, float] = {}

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that are being followed."""
        return self.table.ids

    def answer(self, clip: Clip[Frame]) -> list[FrameResult]:
        """One label map, of the one frame of the clip. UserError for prompts that are no masks."""
        (frame,) = clip.frames
        given = shown_masks(clip.prompts.get(frame.index, {}), "RVOS")
        new = {object_id: given[object_id] for object_id in self.table.add(tuple(given))}
        if not self.table.ids:  # nothing was shown yet
            return [FrameResult(frame.index, np.zeros(frame.image.shape[:2], np.uint8), ())]
        images = self.model.images(self.geometry.shrink_frame(frame.image).to(self.model.pixel_mean.device))
        shown = {self.table.slot(n): shrunk(mask, self.geometry).to(images.device) for n, mask in given.items()}
        probabilities = self.states.answer(images, self.table.count, shown)
        masks = (probabilities > self.settings.threshold).cpu().numpy()
        self._match(masks, new)
        if self.settings.merging == "matched":
            slots = {n: masks[slot] for n, slot in self._matched.items() if n not in given}
            labels = painted(slots, self._costs, given, frame.image.shape[:2])
        else:
            slots = {n: self._matched[n] for n in self.table.ids if n not in given}
            labels = most_probable(probabilities, slots, self.settings.threshold, self.geometry)
            labels = labels.astype(label_type(self.table.ids), copy=False)
            for object_id, mask in given.items():
                labels[mask] = object_id
        inside = confidence(probabilities, self.settings.threshold)
        scores = {n: 1.0 if n in given else inside[self._matched[n]] for n in self.table.ids}
        return [FrameResult(frame.index, labels, self.table.ids, scores)]

    def finish(self) -> list[FrameResult]:
        """Nothing is left: every frame is answered at once."""
        return []

    def remove(self, object_id: int) -> None:
        """Stop following an object. KeyError if it is not known."""
        slot = self.table.remove(object_id)
        for known in (self._matched, self._costs):
            known.pop(object_id)
        if slot not in self._matched.values():  # otherwise another object is painted as what is in it
            self.states.empty(slot)

    def _match(self, masks: NDArray[np.bool_], new: Mapping[int, Masks]) -> None:
        """Slots of the objects that are shown on this frame for the first time: of N h w masks."""
        if self.settings.merging == "own":
            self._matched.update({object_id: self.table.slot(object_id) for object_id in new})
            self._costs.update(dict.fromkeys(new, 0.0))
        elif new:
            size = next(iter(new.values())).shape
            used = 1 + max(*self._matched.values(), *map(self.table.slot, self.table.ids), 0)
            used = max(used, *(n for n in (0, *self.expected) if n <= self.settings.slots))
            ids = matched_ids((*self.table.ids, *self.expected), self.table.ids, used)
            costs = slot_costs(ids, new, [nearest(mask, size) for mask in masks[:used]], self._matched)
            for row, slot in enumerate(assigned(costs)):
                if ids[row] in self.table:
                    self._matched[ids[row]] = slot
                if ids[row] in new:
                    self._costs[ids[row]] = float(costs[row, slot])


class FoundTracker:
    """Finds objects by itself and follows them through one video (`Tracker`): slot n is object n + 1."""

    def __init__(self, model: RVOS, question: Question, settings: FoundSettings) -> None:
        self.model, self.geometry, self.settings = model, question.geometry, settings
        self.states = SlotStates(model)
        self._found: set[int] = set()
        self._dropped: set[int] = set()

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that were found so far."""
        return tuple(sorted(self._found))

    def answer(self, clip: Clip[Frame]) -> list[FrameResult]:
        """One label map, of the one frame of the clip."""
        (frame,) = clip.frames
        images = self.model.images(self.geometry.shrink_frame(frame.image).to(self.model.pixel_mean.device))
        probabilities = self.states.answer(images, self.settings.slots, {})
        threshold = self.settings.threshold
        ranks, inside = slot_ranks(probabilities, threshold), confidence(probabilities, threshold)
        told = {
            slot + 1: slot
            for slot, rank in enumerate(ranks)
            if rank >= max(self.settings.least_rank, np.finfo(float).tiny) and slot + 1 not in self._dropped
        }
        self._found.update(told)
        labels = most_probable(probabilities, told, threshold, self.geometry)
        scores = {object_id: inside[object_id - 1] for object_id in self.object_ids}
        return [FrameResult(frame.index, labels, self.object_ids, scores)]

    def finish(self) -> list[FrameResult]:
        """Nothing is left: every frame is answered at once."""
        return []

    def remove(self, object_id: int) -> None:
        """Stop telling of an object. KeyError if it is not known."""
        self._found.remove(object_id)
        self._dropped.add(object_id)


def matched_ids(may_come: tuple[int, ...], known: tuple[int, ...], slots: int) -> list[int]:
    """The objects that slots are given to: all numbers from the least to the largest, as officially.

    Where these are more than there are slots, those that are known.
    """
    everyone = list(range(min(may_come), max(may_come) + 1))
    return everyone if len(everyone) <= slots else sorted(known)


def shrunk(mask: Masks, geometry: Geometry) -> Tensor:
    """H W -> h w by nearest pixels, 0 or 1; a mask of which nothing is left that way is not lost."""
    size = (geometry.input_height, geometry.input_width)
    small = nearest(mask, size)
    if small.any() or not mask.any():
        return torch.from_numpy(small.copy()).float()
    return geometry.shrink_masks([mask])[0, : size[0], : size[1]]


def most_probable(
    probabilities: Tensor, slots: Mapping[int, int], threshold: float, geometry: Geometry
) -> NDArray[np.integer[Any]]:
    """Labels H W: whose slot is the most probable one above the threshold; of equal ones the first.

    probabilities: N h w. slots: object id -> its slot.
    """
    size = (geometry.height, geometry.width)
    labels, best = np.zeros(size, label_type(slots)), np.full(size, threshold, np.float32)
    for object_id, slot in slots.items():  # one at a time: frames may be large and objects many
        one = probabilities[slot][None, None]
        if geometry.resized:
            one = F.interpolate(one, size=size, mode="bilinear", align_corners=False)
        large = one[0, 0].cpu().numpy()
        ahead = large > best
        labels[ahead], best[ahead] = object_id, large[ahead]
    return labels


def confidence(probabilities: Tensor, threshold: float) -> list[float]:
    """Mean probability of each slot inside its own mask, 0 where that is empty: N h w -> N."""
    inside = probabilities > threshold
    return ((probabilities * inside).sum((1, 2)) / inside.sum((1, 2)).clamp_min(1)).tolist()


def slot_ranks(probabilities: Tensor, threshold: float) -> list[float]:
    """How sure and large slots are (`FoundSettings.least_rank`): N h w -> N."""
    return (probabilities * (probabilities > threshold)).mean((1, 2)).tolist()


def more_slots(maps: Tensor, slots: int) -> Tensor:
    """1 N ... -> 1 `slots` ..., zero for those that are new."""
    missing = slots - maps.shape[1]
    return torch.cat([maps, maps.new_zeros(1, missing, *maps.shape[2:])], 1) if missing > 0 else maps


def without(maps: Tensor, slot: int) -> Tensor:
    """1 N ... with zeros in one slot."""
    maps = maps.clone()
    maps[:, slot] = 0
    return maps
