"""A model that sees nothing and keeps everything that it is handed: what sessions and loops do can be read off it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from univs.results import FrameResult
from univs.streaming.tasks import TASKS
from univs.trackers.object_prompts import ObjectPrompt
from univs.trackers.tracker import Clip, Clips, Frame, Question, Span


@dataclass(frozen=True)
class RecorderSettings:
    """Which clips it wants."""

    clips: Clips = Clips()


class Recorder:
    """Knows an object from its first prompt on, and answers with empty maps as soon as frames are final."""

    def __init__(self, model: RecorderModel, question: Question, settings: RecorderSettings) -> None:
        self.question, self.model = question, model
        self.object_ids: tuple[int, ...] = ()
        self.asked: list[tuple[Span, list[int], dict[int, Mapping[int, ObjectPrompt]]]] = []
        """Of each clip its span, the frames that came, and what was said: frame index -> object id -> prompt."""
        self.removed: list[int] = []
        self._next, self._stop = 0, 0
        model.trackers_made.append(self)

    def answer(self, clip: Clip[Frame]) -> list[FrameResult]:
        self.asked.append((clip.span, [frame.index for frame in clip.frames], dict(clip.prompts)))
        said = (object_id for prompts in clip.prompts.values() for object_id in prompts)
        self.object_ids = tuple(dict.fromkeys((*self.object_ids, *said)))
        self._stop = clip.span.stop
        return self._results(clip.span.final)

    def finish(self) -> list[FrameResult]:
        return self._results(self._stop)

    def remove(self, object_id: int) -> None:
        self.object_ids = tuple(known for known in self.object_ids if known != object_id)
        self.removed.append(object_id)

    def _results(self, stop: int) -> list[FrameResult]:
        shape = (self.question.geometry.height, self.question.geometry.width)
        results = [
            FrameResult(index, np.zeros(shape, np.uint8), self.object_ids, dict.fromkeys(self.object_ids, 1.0))
            for index in range(self._next, stop)
        ]
        self._next = max(self._next, stop)
        return results


class RecorderModel:
    """Offers a recorder for every task."""

    def __init__(self, **streaming: Any) -> None:
        self.config: Mapping[str, Any] = {"name": "recorder"}
        self.streaming: Mapping[str, Any] = streaming
        self.trackers_made: list[Recorder] = []

    def trackers(self) -> dict[str, dict[str, tuple[Any, Any]]]:
        return {task: {"frame": (Recorder, RecorderSettings)} for task in TASKS}

    def ready(self, precision: str, compiled: bool) -> RecorderModel:
        return self
