"""J and F of objects that were shown on the first frame, sequence by sequence and averaged over all objects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from univs.evaluation.metrics.davis import ObjectScore, SemiSupervised
from univs.evaluation.metrics.score_printing import print_whole
from univs.evaluation.metrics.scores import Scores
from univs.evaluation.run.benchmark import Figure
from univs.evaluation.run.figure_writer import FigureWriter
from univs.evaluation.run.records import VideoRecord
from univs.formats import Recording, RecordingSet
from univs.formats.answer_writer import AnswerWriter
from univs.results import FrameResult

FIGURES = (Figure("J&F", "j_and_f", 1), Figure("J", "j", 1), Figure("F", "f", 1))


class FirstMaskScorer:
    """Compares the answers of one sequence with its labels (a `figure_writer.Scorer`).

    Without an object on the first frame there is nothing to follow and there are no figures.
    """

    def __init__(self, recording: Recording, one_object: bool) -> None:
        self._recording, self._scoring = recording, SemiSupervised(one_object)

    def take(self, result: FrameResult) -> None:
        labels = self._recording.labels_of(result.frame_index)
        assert labels is not None, "every frame of a sequence has a mask file"
        self._scoring.update(result.labels, labels.objects)

    def figures(self) -> Mapping[str, Any]:
        """Object id -> J and F frame by frame, None on frames that are not evaluated."""
        scores = self._scoring.compute() if self._recording.shown else {}
        return {
            str(number): {"J": _to_json(score.jaccards), "F": _to_json(score.boundaries)}
            for number, score in scores.items()
        }


@dataclass(frozen=True)
class Summary:
    """Means over objects (percent), as the official tools form them."""

    j_and_f: float
    j: float
    j_recall: float
    j_decay: float
    f: float
    f_recall: float
    f_decay: float

    @classmethod
    def of(cls, scores: Sequence[ObjectScore]) -> Summary:
        """NaN throughout if there is no object at all."""
        parts = [(*score.j.parts, *score.f.parts) for score in scores]
        means = [100 * _mean([row[place] for row in parts]) for place in range(6)]
        return cls((means[0] + means[3]) / 2, *means)


class ObjectFigures:
    """The measure of `video_folders` (a `benchmark.Measure`)."""

    def score(self, data: RecordingSet, recordings: Sequence[Recording], folder: Path, writer: AnswerWriter) -> Scores:
        """Averages over the objects of all sequences, not over sequences."""
        assert isinstance(writer, FigureWriter)
        found = {name: scores_of(figures) for name, figures in writer.all(recordings).items()}
        every = Summary.of([score for scores in found.values() for score in scores])
        rows = {name: {"objects": len(scores), **asdict(Summary.of(scores))} for name, scores in found.items()}
        return Scores({}, asdict(every), rows)

    def lacking(self, data: RecordingSet) -> str:
        """Every sequence has its masks."""
        raise AssertionError(data.name)

    def fields(self, scores: Scores) -> Mapping[str, Any]:
        """The names of the sequences, and the means."""
        return {"sequences": list(scores.rows), **scores.summary}

    def show(self, title: str, scores: Scores, records: Sequence[VideoRecord], console: Console) -> None:
        """One row per sequence, in the order given, and the means."""
        if not console.quiet:
            print_whole(table_of(title, scores, records))

    def remark(self, writer: AnswerWriter, recording: Recording, record: VideoRecord) -> str:
        """The figure of a sequence."""
        assert isinstance(writer, FigureWriter)
        figure = Summary.of(scores_of(writer.read(recording) or {})).j_and_f
        return f"{recording.name}: J&F {figure:.1f}, {record.speed:.2f} frames/s"


def scores_of(figures: Mapping[str, Any]) -> list[ObjectScore]:
    """What `FirstMaskScorer.figures` has told."""
    return [ObjectScore(_from_json(each["J"]), _from_json(each["F"])) for each in figures.values()]


def table_of(title: str, scores: Scores, records: Sequence[VideoRecord]) -> Table:
    """One row per sequence and the mean over all objects."""
    table = Table(title=title)
    for heading in ("sequence", "objects", "frames", "J&F", "J", "F", "frames/s"):
        table.add_column(heading, justify="left" if heading == "sequence" else "right", no_wrap=True)
    keys = ("j_and_f", "j", "f")
    for record in records:
        row = scores.rows[record.name]
        figures = (f"{row[key]:.1f}" for key in keys)
        table.add_row(record.name, str(row["objects"]), str(record.num_frames), *figures, f"{record.speed:.2f}")
    table.add_section()
    objects, frames = sum(int(row["objects"]) for row in scores.rows.values()), sum(r.num_frames for r in records)
    table.add_row("mean over objects", str(objects), str(frames), *(f"{scores.summary[key]:.1f}" for key in keys), "")
    return table


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _to_json(values: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values]


def _from_json(values: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(math.nan if value is None else float(value) for value in values)
