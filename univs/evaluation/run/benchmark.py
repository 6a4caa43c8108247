"""What makes a benchmark: a set, a task, how a recording is asked, what becomes of the answers, how they are scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from univs.evaluation.metrics.scores import Scores
from univs.evaluation.run.questions import Ask, Question
from univs.evaluation.run.records import VideoRecord
from univs.evaluation.run.running import NewSession
from univs.evaluation.run.server import Server
from univs.formats import Recording, RecordingSet
from univs.formats.answer_writer import AnswerWriter

if TYPE_CHECKING:
    from univs.models.zoo import Network


@dataclass(frozen=True)
class Figure:
    """A figure of the table of papers: its name there, its key in `Scores.summary`, and the factor to percent.

    unknown: what the official tool says where there is nothing to average, if that is not NaN.
    """

    name: str
    key: str
    factor: float = 100.0
    unknown: float = math.nan

    def of(self, scores: Scores) -> float:
        """The figure, in percent; NaN where there is none."""
        value = scores.summary[self.key]
        return math.nan if value == self.unknown else self.factor * value


class Measure:
    """How the answers of a benchmark become figures, and what a person sees of them."""

    def score(self, data: RecordingSet, recordings: Sequence[Recording], folder: Path, writer: Any) -> Scores | None:
        """The figures of these videos, None where the set has no ground truth of them.

        folder: of the run, where what the scorer needs may be put. writer: the `AnswerWriter` of the answers.
        """
        raise NotImplementedError

    def lacking(self, data: RecordingSet) -> str:
        """What is said where there is no ground truth; in sets that are asked about by their truth there is."""
        raise AssertionError(data.name)

    def fields(self, scores: Scores) -> Mapping[str, Any]:
        """What summary.json says beside what it says of every benchmark."""
        return {}

    def show(self, title: str, scores: Scores, records: Sequence[VideoRecord]) -> None:
        """Prints the table."""
        raise NotImplementedError

    def remark(self, writer: Any, recording: Recording, record: VideoRecord) -> str:
        """What is printed as soon as a video is done; nothing if empty."""
        return ""


OpenSessions = Callable[["Network", str, int | None, Mapping[str, Any]], NewSession]
"""(model, task, size, options) -> what makes the sessions that answer: each video gets one of its own.

size: short side (pixels) at which the model sees a frame, None for its own. UserError for options that are none.
"""


def streaming_sessions(model: Network, task: str, size: int | None, options: Mapping[str, Any]) -> NewSession:
    """A `univs.Session` for each video, told beforehand which objects will be asked about."""
    from univs.streaming import Session

    def new_session(recording: Recording, question: Question) -> Session:
        session = Session(model, task, size=size or 0, keep_results=False, **options)
        session.expect(question.object_ids)
        return session

    Session(model, task, size=size or 0, keep_results=False, **options).close()  # refused before any work
    return new_session


@dataclass(frozen=True)
class Benchmark:
    """A set, and how a model is examined on it.

    dataset: its name, for public sets the one in `univs.formats`. task: of the six. ask: what is said about a
    recording. writer: what writes the answers. measure: what makes figures of them. figures: those that a paper
    prints. server: what the server takes, of the splits that are scored by one alone. sessions: what answers.
    """

    dataset: str
    task: str
    ask: Ask
    writer: Callable[[Path, RecordingSet], AnswerWriter]
    measure: Measure
    figures: Sequence[Figure]
    server: Server | None = None
    sessions: OpenSessions = streaming_sessions

    def main_figures(self, scores: Scores) -> dict[str, float]:
        """The figures of papers, in percent."""
        return {figure.name: figure.of(scores) for figure in self.figures}
