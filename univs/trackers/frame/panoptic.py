"""Things that are found and followed, painted over a map of stuff, a frame at a time: our own rules for VPS."""

from __future__ import annotations

import numpy as np
import torch

from univs.masks.geometry import Geometry
from univs.models.univs import UniVS
from univs.trackers.answers import Answer, PanopticAnswer, Segment
from univs.trackers.classes import Classes
from univs.trackers.detections import Detections
from univs.trackers.frame.instances import InstanceTracker
from univs.trackers.semantic import classify, name_cells
from univs.trackers.tracker import Clip


class PanopticTracker:
    """Answers every frame with segments that keep their numbers (`Tracker`).

    Args:
        model: that names stuff.
        geometry: sizes of the frames.
        classes: things and stuff.
        things: finds and follows the things.
    """

    def __init__(self, model: UniVS, geometry: Geometry, classes: Classes, things: InstanceTracker) -> None:
        self._model, self._geometry, self._classes, self._things = model, geometry, classes, things
        self._numbers: dict[tuple[str, int], int] = {}

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Numbers of the things that are being followed, and of the stuff seen so far."""
        ids = {("thing", number) for number in self._things.object_ids}
        return tuple(number for key, number in self._numbers.items() if key in ids or key[0] == "stuff")

    def answer(self, clip: Clip) -> list[Answer]:
        """Answer the one frame of the clip."""
        seen = self._things.look(clip)
        answer = self._things.answer_with(clip, seen)
        if self._model.word_head is not None:
            named = name_cells(self._model, clip.frames[0].features, self._classes, self._geometry)
        else:
            found = Detections.of(seen, seen.mask_logits.shape[1])
            named = classify(found.logits[:, 0], found.scores, self._geometry)
        classes = named.long() - 1
        stuff = torch.where(self._classes.things[classes], -1, classes).cpu().numpy()
        labels = answer.labels()
        segments = np.zeros(labels.shape, np.int32)
        infos: dict[int, Segment] = {}
        scores: dict[int, float] = {}
        for category in np.unique(stuff[stuff >= 0]):
            number = self._number("stuff", int(category))
            segments[stuff == category] = number
            infos[number], scores[number] = Segment(number, int(category), False), 1.0
        for entity in answer.object_ids:
            number = self._number("thing", entity)
            segments[labels == entity] = number
            category = self._classes.names.index(answer.names[entity])
            infos[number], scores[number] = Segment(number, category, True), answer.scores[entity]
        names = {number: self._classes.names[segment.category] for number, segment in infos.items()}
        return [PanopticAnswer(clip.span.start, tuple(infos), scores, self._geometry, segments, infos, names)]

    def finish(self) -> list[Answer]:
        """Nothing is left: every frame is answered at once."""
        return []

    def remove(self, object_id: int) -> None:
        """Stop following a thing. KeyError if it is not known."""
        for (kind, entity), number in self._numbers.items():
            if number == object_id and kind == "thing":
                return self._things.remove(entity)
        raise KeyError(object_id)

    def _number(self, kind: str, key: int) -> int:
        return self._numbers.setdefault((kind, key), len(self._numbers) + 1)
