"""A model over the videos of a benchmark, one frame in memory at a time; what is done is not done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from univs.errors import UserError
from univs.evaluation.metrics.davis import jaccard
from univs.evaluation.metrics.scores import Progress, quiet
from univs.evaluation.run.questions import Asked, Question
from univs.evaluation.run.records import VideoRecord
from univs.evaluation.run.stamps import stamp
from univs.formats import Recording
from univs.formats.answer_writer import AnswerWriter, Take, mask_of, wanted_frames
from univs.formats.files import inside
from univs.results import FrameResult


class Pusher(Protocol):
    """What answers a video: a `univs.Session`."""

    def push(self, frame: np.ndarray, prompts: Sequence[Any] = ()) -> list[FrameResult]: ...

    def flush(self) -> list[FrameResult]: ...


NewSession = Callable[[Recording, Question], Pusher]


class AnswerStore:
    """Where the answers of a run go, and the records that say which are there."""

    def __init__(self, folder: Path, writer: AnswerWriter, settings: Mapping[str, Any]) -> None:
        """folder: of the records. settings: under which answers are made; those made under others are not taken, nor
        those of a video whose files have changed."""
        self.writer, self._folder, self._settings = writer, folder, settings
        self._stamps: dict[str, str] = {}

    def record(self, recording: Recording) -> VideoRecord | None:
        """Of a video that has been answered under these settings, else None."""
        record = VideoRecord.read(self._path(recording), self._made_under(recording))
        return record if self.writer.has(recording) else None

    def answer(
        self, recording: Recording, question: Question, session: Pusher, advance: Callable[[], object]
    ) -> VideoRecord:
        """Asks about a video and keeps the answers, whole or not at all. Raises UserError that names the video."""
        path, made_under = self._path(recording), self._made_under(recording)
        path.unlink(missing_ok=True)  # from here on the old answers may be gone
        try:
            with self.writer.writing(recording) as take:
                record = run_video(recording, question, session, take, advance)
        except UserError as error:
            raise UserError(f"video {recording.name}: {error}") from error
        record.write(path, made_under)
        return record

    def _made_under(self, recording: Recording) -> Mapping[str, Any]:
        """The settings, and the files as they were when the video was first asked for."""
        if recording.name not in self._stamps:
            self._stamps[recording.name] = stamp(recording)
        return {**self._settings, "files": self._stamps[recording.name]}

    def _path(self, recording: Recording) -> Path:
        return inside(self._folder, f"{recording.name}.json")


def run(
    recordings: Sequence[Recording],
    ask: Callable[[Recording], Question],
    new_session: NewSession,
    store: AnswerStore,
    progress: Progress = quiet,
    done_with: Callable[[Recording, VideoRecord], object] = lambda recording, record: None,
) -> None:
    """Answers the videos in their order, those that are done left out; progress is in frames.

    done_with: is told the record of each, of those that were done before too.
    """
    total, done = sum(map(len, recordings)), 0
    for recording in recordings:
        start = done
        record = store.record(recording)
        if record is None:
            question = ask(recording)

            def advance() -> None:
                nonlocal done
                done += 1
                progress(done, total)

            record = store.answer(recording, question, new_session(recording, question), advance)
        done_with(recording, record)
        done = start + len(recording)
        progress(done, total)


def run_video(
    recording: Recording,
    question: Question,
    session: Pusher,
    take: Take,
    advance: Callable[[], object] = lambda: None,
) -> VideoRecord:
    """Asks about one video; `take` gets an answer for every frame that is wanted, in order.

    Frames before the first thing is said are not looked at, and their answer is that nothing is there; nor are those
    after the last one that is wanted.
    """
    wanted = sorted(wanted_frames(recording))
    first = question.starts[0] if question.starts else len(recording)
    end = wanted[-1] + 1 if wanted else 0
    early = [index for index in wanted if index < first]
    if early:
        size = recording.frame(early[0]).shape[:2]
        for index in early:
            take(FrameResult(index, np.zeros(size, np.uint8), ()))
    asked, seconds = set(wanted), 0.0
    ious: dict[str, float] = {}
    for index in range(first, end + 1 if first < end else 0):
        frame: np.ndarray | None = None
        said: Sequence[Asked] = ()
        if index < end:
            frame, said = recording.frame(index), question.says(index) if index in question.starts else ()
        start = time.perf_counter()
        results = session.flush() if frame is None else session.push(frame, said)
        seconds += time.perf_counter() - start
        for result in results:
            place = first + result.frame_index
            if question.shown is not None and place in question.starts:
                true = question.shown(place)
                ious |= {str(number): jaccard(mask_of(result, number), mask) for number, mask in true.items()}
            if place in asked:
                take(replace(result, frame_index=place))
        if frame is not None:
            advance()
    return VideoRecord(recording.name, max(0, end - first), seconds, ious)
