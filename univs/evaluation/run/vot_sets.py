"""VOT-style folders: `univs evaluate dataset=vot model=siammask +options.way=vot data.root=VOT2018`.

The object is shown by a box on its first frame. When an answer meets nothing of it, the tracker is begun anew on the
true region five frames later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

import numpy as np

from univs.errors import UserError
from univs.evaluation.run.benchmark import Benchmark, Figure
from univs.evaluation.run.benchmark_run import Job, Outcome
from univs.evaluation.run.official_metric import OfficialMetric
from univs.evaluation.run.questions import Asked, Question
from univs.evaluation.run.runner import RESULTS, run_benchmark
from univs.evaluation.run.running import NewSession
from univs.files import from_home
from univs.formats import Recording, RecordingSet, vot
from univs.models.siammask_crops import axis_aligned
from univs.prompts import Box
from univs.results import FrameResult
from univs.settings import Device, NotEmpty, ShortSide, Text

if TYPE_CHECKING:
    from univs.models.zoo import Network
    from univs.streaming import Session

FIGURES = (Figure("EAO", "EAO", 1), Figure("A", "A", 1), Figure("R", "R", 1))
"""As they are printed in papers: fractions, and failures in a hundred frames."""
Interval = Literal["lengths", "vot2016", "vot2018", "vot2019"]


class VotData(TypedDict):
    """The folder of the sequences."""

    root: Text


def evaluate(
    dataset: str,
    data: VotData,
    sequences: Annotated[Sequence[str], NotEmpty()] | None = None,
    interval: Interval = "lengths",
    weights: Text = "tiny",
    size: ShortSide | None = None,
    options: Mapping[str, Any] | None = None,
    device: Device = "auto",
    out: Text | Path | None = None,
) -> Outcome | None:
    """Follows the object of every sequence by the protocol of VOT, and measures how well.

    Settings are those of configs/dataset/vot.yaml. Writes `out`/predictions as the challenge takes them, prints a table
    and writes `out`/summary.json. None in all processes of torchrun but the first. Raises UserError for missing data,
    unknown names and weights.
    """
    job = find_job(data, sequences, interval, Path(out) if out else RESULTS / dataset)
    return run_benchmark(job, weights, device, size, options)


def find_job(data: VotData, sequences: Sequence[str] | None, interval: Interval, folder: Path) -> Job:
    """The sequences of a folder, or those named. Raises UserError for what is missing."""
    found = vot.read(from_home(str(data["root"])), sequences)
    benchmark = Benchmark(
        "vot",
        "vos",
        ask_region,
        lambda predictions, data: vot.RegionFiles(predictions),
        OfficialMetric("vot", vot.truth, {"interval": interval}),
        FIGURES,
        sessions=restarted_sessions,
    )
    made_from = {"root": str(found.root.resolve())}
    return Job(benchmark, found, found.recordings, folder, made_from, sequences is None)


def ask_region(recording: Recording, data: RecordingSet) -> Question:
    """The object is shown by an upright box as large as its true region."""
    regions = vot.read_regions(recording.label_files[0])
    return Question((0,), partial(_shown, recording, regions), (vot.OBJECT,))


def _shown(recording: Recording, regions: Sequence[vot.Region | None], frame: int) -> list[Asked]:
    """What is said on a frame; nothing where nobody knows where the object is."""
    region = regions[frame]
    if region is None:
        return []
    return [box_prompt(region, recording.frame(frame).shape[:2], f"{recording.name}, frame {frame}")]


def box_prompt(region: vot.Region, size: tuple[int, ...], where: str) -> Box:
    """An upright box of a region, as far as it lies in the frame. UserError, naming where, if it does not.

    Of a quadrilateral it has the area (`axis_aligned`); of other polygons it is the box around them.
    """
    (left, top), (right, bottom) = region.min(0), region.max(0)
    if len(region) == 4 and not is_upright(region) and right > left and bottom > top:
        x, y, width, height = axis_aligned(region.ravel().tolist())
        left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    height, width = size[:2]
    inside = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        raise UserError(f"{where}: nothing of the true region lies in the frame, and nobody can be begun there")
    return Box(vot.OBJECT, inside)


def is_upright(region: vot.Region) -> bool:
    """Whether a quadrilateral is a box whose sides run along the axes."""
    return all(len(np.unique(region[:, axis])) == 2 for axis in (0, 1))


def restarted_sessions(model: Network, task: str, size: int | None, options: Mapping[str, Any]) -> NewSession:
    """Sessions that are begun anew where the protocol says so. UserError for options that are none."""
    from univs.streaming import Session

    def new_session() -> Session:
        return Session(model, task, size=size or 0, keep_results=False, **options)

    new_session().close()  # refused before any work

    def new_run(recording: Recording, question: Question) -> RestartedSession:
        return RestartedSession(new_session, question, vot.read_regions(recording.label_files[0]))

    return new_run


class RestartedSession:
    """Answers the frames of one sequence (a `running.Pusher`), by one session after the other.

    Args:
        new_session: makes them.
        question: says where the object is on any frame.
        truth: region of each frame.
    """

    def __init__(
        self, new_session: Callable[[], Session], question: Question, truth: Sequence[vot.Region | None]
    ) -> None:
        self._new_session, self._question = new_session, question
        self._protocol = vot.ResetProtocol(truth)
        self._session: Session | None = None
        self._index = 0

    def push(self, frame: np.ndarray, prompts: Sequence[Any] = ()) -> list[FrameResult]:
        """The answer to this very frame, on which nobody is followed while the tracker rests."""
        index, size = self._index, (frame.shape[0], frame.shape[1])
        self._index += 1
        said: Sequence[Asked] = ()
        if self._protocol.begins(index, size):
            self._session, said = self._new_session(), self._question.says(index)
        if self._session is None:
            result = FrameResult(index, np.zeros(size, np.uint8), ())
        else:
            result = replace(self._session.step(frame, said), frame_index=index)
        if self._protocol.take(index, vot.predicted_region(result), size) == vot.FAILED:
            self._close()
        return [result]

    def flush(self) -> list[FrameResult]:
        """Every frame was answered at once."""
        self._close()
        return []

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None
