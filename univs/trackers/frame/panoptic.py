"""Things that are found and followed, painted over a map of stuff, a frame at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from univs.models.univs import UniVS
from univs.results import FrameResult
from univs.trackers.classes import EVERYTHING, Words
from univs.trackers.encoded_frame import EncodedFrame
from univs.trackers.frame.finding import FindSettings
from univs.trackers.frame.instances import InstanceSettings, InstanceTracker
from univs.trackers.frame.tracker import FrameSettings
from univs.trackers.semantic import classify, name_cells
from univs.trackers.tracker import Clip, Frame, Question


@dataclass(frozen=True)
class PanopticSettings:
    """What counts as a thing that was found, and who follows it; every frame is looked at."""

    words: Words = Words()
    tracking: FrameSettings = FrameSettings()
    find: FindSettings = FindSettings()


class PanopticTracker:
    """Answers every frame with segments that keep their numbers (`Tracker`)."""

    def __init__(self, model: UniVS, question: Question, settings: PanopticSettings) -> None:
        question = replace(question, categories=question.categories or EVERYTHING)
        things = InstanceSettings(settings.words, settings.tracking, settings.find)
        self._model, self._geometry = model, question.geometry
        self._things = InstanceTracker(model, question, things)
        self._classes = self._things.classes
        self._numbers: dict[tuple[str, int], int] = {}

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Numbers of the things that are being followed, and of the stuff seen so far."""
        ids = {("thing", number) for number in self._things.object_ids}
        return tuple(number for key, number in self._numbers.items() if key in ids or key[0] == "stuff")

    def answer(self, clip: Clip[Frame]) -> list[FrameResult]:
        """One map of segment numbers, with the class of each."""
        frame = EncodedFrame(clip.frames[0], self._model, self._geometry)
        seen = self._things.look(frame)
        things = self._things.follow(frame, seen)
        if self._model.word_head is not None:
            named = name_cells(self._model, frame.cells, self._classes, self._geometry)
        else:
            assert seen.found is not None
            named = classify(seen.found.logits[:, 0], seen.found.scores, self._geometry)
        classes = named.cpu().numpy()
        labels = things.followed.labels(self._geometry)
        names: dict[int, str] = {}
        scores: dict[int, float] = {}
        of_class = np.zeros(len(self._classes.names) + 1, np.int32)  # the number of its segment; 0 for things
        for category in np.flatnonzero(np.bincount(classes.ravel(), minlength=len(of_class))):
            if not self._classes.things[category - 1]:
                number = of_class[category] = self._number("stuff", int(category) - 1)
                names[number], scores[number] = self._classes.names[category - 1], 1.0
        painted_stuff = frozenset(names)
        segments = of_class[classes]
        for entity in things.followed.object_ids:
            number = self._number("thing", entity)
            segments[labels == entity] = number
            names[number], scores[number] = things.names[entity], things.followed.scores[entity]
        return [FrameResult(frame.index, segments, tuple(names), scores, names=names, stuff=painted_stuff)]

    def finish(self) -> list[FrameResult]:
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
