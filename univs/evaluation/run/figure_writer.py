"""Answers that are scored as they come: what is kept of a video is its figures, and its masks where they are wanted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from univs.evaluation.run.records import BROKEN
from univs.formats import Recording
from univs.formats.answer_writer import AnswerWriter, Take
from univs.formats.files import inside, write_json
from univs.results import FrameResult


class Scorer(Protocol):
    """Scores the answers of one video."""

    def take(self, result: FrameResult) -> None:
        """The next answer, in the order of the frames; its frame index is the place in the recording."""

    def figures(self) -> Mapping[str, Any]:
        """What the answers were worth, in values that JSON has."""


class FigureWriter:
    """VIDEO.json of figures in a folder (an `AnswerWriter`).

    Args:
        pred: the folder.
        scorer: makes what scores a video.
        masks: what else is made of the answers.
    """

    def __init__(self, pred: Path, scorer: Callable[[Recording], Scorer], masks: AnswerWriter | None = None) -> None:
        self.pred, self._scorer, self._masks = pred, scorer, masks

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        scorer = self._scorer(recording)
        with ExitStack() as stack:
            write = stack.enter_context(self._masks.writing(recording)) if self._masks else None

            def take(result: FrameResult) -> None:
                scorer.take(result)
                if write:
                    write(result)

            yield take
        write_json(self._path(recording), scorer.figures())

    def has(self, recording: Recording) -> bool:
        return self.read(recording) is not None and (self._masks is None or self._masks.has(recording))

    def finish(self, recordings: Sequence[Recording]) -> None:
        if self._masks:
            self._masks.finish(recordings)

    def read(self, recording: Recording) -> dict[str, Any] | None:
        """The figures of a video; None if there are none that can be read."""
        try:
            return dict(json.loads(self._path(recording).read_text(encoding="utf-8")))
        except BROKEN:
            return None

    def all(self, recordings: Sequence[Recording]) -> dict[str, dict[str, Any]]:
        """Name of a video -> its figures, of videos that have been answered."""
        return {recording.name: self.read(recording) or {} for recording in recordings}

    def _path(self, recording: Recording) -> Path:
        return inside(self.pred, f"{recording.name}.json")
