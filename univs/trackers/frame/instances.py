"""Things found now and then, and followed in between as if they had been shown, a frame at a time.

What is found becomes a mask prompt of the frame it was found on; from then on the object is followed by prompts and
dense memory, as any other. Shapes: N known objects, M detections, K classes, h w a quarter of the padded input, H W
pixels of the frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.frame_labels import mask_of
from univs.masks.suppression import mask_iou
from univs.models.features import DecodeRequest
from univs.models.univs import UniVS
from univs.prompts import Mask
from univs.results import FrameResult
from univs.settings import Count
from univs.trackers.classes import THINGS, Words, classes_of
from univs.trackers.detections import Detections
from univs.trackers.encoded_frame import EncodedFrame
from univs.trackers.frame.closer_look import HOWEVER_FAR, Candidate, boxed, look_closer
from univs.trackers.frame.finding import FindSettings, Look, WordFinder
from univs.trackers.frame.tracker import Followed, FrameSettings, FrameTracker
from univs.trackers.mask_scores import assign, mask_quality
from univs.trackers.object_prompts import ObjectPrompt
from univs.trackers.tracker import Clip, Frame, Question


@dataclass(frozen=True)
class InstanceSettings:
    """What counts as found, who follows it, and how many frames lie between two looks."""

    words: Words = Words()
    tracking: FrameSettings = FrameSettings()
    find: FindSettings = FindSettings()
    detect_interval: Count = 5


@dataclass(frozen=True)
class Instances:
    """What is followed on one frame. names: id -> best class so far. track_scores: id -> mean score of that class."""

    followed: Followed
    names: dict[int, str]
    track_scores: dict[int, float]


class _Found:
    """What is known of one object beside its masks."""

    def __init__(self, scores: Tensor) -> None:
        self.scores = scores  # K, summed over the looks that found it
        self.looks = 1
        self.missed = 0  # looks in a row that did not find it
        self.unseen = 0  # frames in a row without a pixel

    @property
    def mean(self) -> Tensor:
        return self.scores / self.looks


class InstanceTracker:
    """Finds objects of some classes and follows them (`Tracker`); only things are followed."""

    def __init__(self, model: UniVS, question: Question, settings: InstanceSettings) -> None:
        self._model, self._geometry, self._settings = model, question.geometry, settings.find
        self._interval = settings.detect_interval
        self.classes = classes_of(model, question.categories or THINGS, settings.words)
        self._tracker = FrameTracker(model, question, settings.tracking)  # to which nothing was shown
        self._looks_closer = settings.tracking.closer_look
        self._finder = None if model.word_head is None else WordFinder(model, self.classes, settings.find)
        self._found: dict[int, _Found] = {}
        self._next_id = 1
        self._masks: dict[int, Tensor] = {}  # id -> h w bool, of the frame before

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that are being followed."""
        return self._tracker.object_ids

    def answer(self, clip: Clip[Frame]) -> list[FrameResult]:
        """A mask for each instance on the one frame of the clip."""
        frame = EncodedFrame(clip.frames[0], self._model, self._geometry)
        seen = self.follow(frame, self.look(frame) if frame.index % self._interval == 0 else None)
        labels, ids = seen.followed.labels(self._geometry), seen.followed.object_ids
        masks = {number: labels == number for number in ids}
        result = FrameResult(
            frame.index, labels, ids, seen.followed.scores, masks, names=seen.names, track_scores=seen.track_scores
        )
        return [result]

    def look(self, frame: EncodedFrame) -> Look:
        """What is seen on the frame: by the word head where there is one, else by the learnable queries."""
        if self._finder is not None:
            return self._finder.look(frame, self._masks, len(self._found) < self._settings.most)
        request = DecodeRequest(learnable=True, class_embeddings=self.classes.embeddings)
        seen = self._model.decode([frame.inputs], request)
        self._geometry.clear_margin(seen.mask_logits)
        return Look(Detections.of(seen, seen.mask_logits.shape[1]))

    def follow(self, frame: EncodedFrame, look: Look | None) -> Instances:
        """Go on to the next frame, with what was seen on it; None: nobody looked."""
        new = {} if look is None or look.found is None else self._sort(frame, look, look.found)
        shown = {number: ObjectPrompt(masks=[Mask(number, mask)]) for number, mask in new.items()}
        followed = self._tracker.follow(frame, shown)
        best = followed.log_odds.argmax(0)
        self._masks = {number: best == row for row, number in enumerate(followed.object_ids, start=1)}
        if look is not None and look.again is not None:
            self._confirm(frame, followed, look.again)
        tops = {number: self._found[number].mean.max(0) for number in followed.object_ids}
        names = {number: self.classes.names[int(top.indices)] for number, top in tops.items()}
        scores = {number: float(top.values) for number, top in tops.items()}
        self._give_up(followed)
        return Instances(followed, names, scores)

    def finish(self) -> list[FrameResult]:
        """Nothing is left: every frame is answered at once."""
        return []

    def remove(self, object_id: int) -> None:
        """Stop following an object. KeyError if it is not known."""
        self._tracker.remove(object_id)
        del self._found[object_id]
        self._masks.pop(object_id, None)

    def _sort(self, frame: EncodedFrame, look: Look, found: Detections) -> dict[int, NDArray[np.bool_]]:
        """Tell known objects from new ones among what was found on a frame: id -> H W mask of the new ones."""
        settings, things = self._settings, self.classes.things
        found = settings.filter(found)
        masks = found.masks(0)
        good = things[found.scores.argmax(1)] & (masks.flatten(1).sum(1) >= settings.least_cells)
        found, masks = found.take(good), masks[good]
        known = [number for number in self._masks if number in self._found]
        taken = torch.zeros(masks.shape[1:], dtype=torch.bool, device=masks.device)
        pairs: list[tuple[int, int, float]] = []
        if known and len(found):
            before = torch.stack([self._masks[number] for number in known])
            taken = before.any(0)
            pairs = assign(mask_iou(before, masks), settings.match)
        if look.again is None:
            self._count_looks(known, {known[row]: found.scores[place] for row, place, _ in pairs})
        matched = {place for _, place, _ in pairs}
        new: dict[int, NDArray[np.bool_]] = {}
        rough: dict[int, Tensor] = {}
        started: list[int] = []
        assert found.rows is not None
        for place in range(len(found)):
            mask = masks[place]
            strong = place not in matched and float(found.best[place]) > settings.class_score
            apart = float((mask & taken).sum() / mask.sum()) <= settings.new_share
            if not (strong and apart and len(self._found) < settings.most):
                continue
            large = mask_of(found.logits[place, 0], self._geometry)
            if large.any():
                self._found[self._next_id] = _Found(found.scores[place])
                new[self._next_id], rough[self._next_id] = large, found.logits[place, 0]
                started.append(int(found.rows[place]))
                taken = taken | mask
                self._next_id += 1
        if self._finder is not None and look.boxes is not None:
            others = [row for row in range(len(look.boxes)) if row not in started]
            self._finder.refuse(frame.index, look.boxes[others])
        return new | self._closer(frame, rough)

    def _closer(self, frame: EncodedFrame, rough: Mapping[int, Tensor]) -> dict[int, NDArray[np.bool_]]:
        """The masks H W of new objects after a closer look, for a model that takes one: of those that were seen closer.

        rough: id -> h w mask logits.
        """
        if not (self._model.looks_closer and self._looks_closer and rough):
            return {}
        candidates = [Candidate(boxed(logits, self._geometry), logits) for logits in rough.values()]
        seen = look_closer(self._model, frame.image, self._geometry, candidates, False, HOWEVER_FAR)
        return {number: one.mask for number, one in zip(rough, seen, strict=True) if one is not None}

    def _confirm(self, frame: EncodedFrame, followed: Followed, again: Mapping[int, float]) -> None:
        """Count a look at the known objects: those that a box showed are named as they are followed on this frame."""
        known = [number for number in followed.object_ids if number in again]
        if not known or self._finder is None:
            return
        rows = [followed.object_ids.index(number) + 1 for number in known]
        masks, logits = torch.stack([self._masks[number] for number in known]), followed.log_odds[rows]
        objectness = logits.new_tensor([again[number] for number in known])
        scores = self._finder.named(frame, masks, logits) * objectness[:, None]
        seen = (objectness > 0) & (mask_quality(logits) > self._settings.filter.stability)
        seen &= self.classes.things[scores.argmax(1)] & (masks.flatten(1).sum(1) >= self._settings.least_cells)
        self._count_looks(known, {number: scores[row] for row, number in enumerate(known) if seen[row]})

    def _count_looks(self, known: list[int], confirmed: Mapping[int, Tensor]) -> None:
        for number in known:
            state = self._found[number]
            if number in confirmed:
                state.scores = state.scores + confirmed[number]
                state.looks += 1
                state.missed = 0
            else:
                state.missed += 1

    def _give_up(self, answer: Followed) -> None:
        """Forget who has been out of sight for long, or is no longer recognised."""
        for number in answer.object_ids:
            state = self._found[number]
            state.unseen = 0 if answer.scores[number] > 0 else state.unseen + 1
            if max(state.unseen, state.missed) > self._settings.lost_after:
                self.remove(number)
