"""J and F of objects that were shown on the first frame, sequence by sequence and averaged over all objects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from univs.evaluation.metrics.davis import ObjectScore, SemiSupervised, known_mean
from univs.evaluation.metrics.score_printing import print_whole
from univs.evaluation.metrics.scores import Scores
from univs.evaluation.run.benchmark import Figure, Measure
from univs.evaluation.run.figure_writer import FigureWriter
from univs.evaluation.run.records import VideoRecord
from univs.formats import Recording, RecordingSet
from univs.results import FrameResult
from univs.terminal import plain_table

FIGURES = (Figure("J&F", "j_and_f", 1), Figure("J", "j", 1), Figure("F", "f", 1))
MEANS = ("j", "j_recall", "j_decay", "f", "f_recall", "f_decay")
"""Of the mean, recall and decay of J and of F."""


class FirstMaskScorer:
    """Compares the answers of one sequence with its labels (a `figure_writer.Scorer`).

    Objects are those that are shown, whatever their ids; others, also those that come later, are background. Without
    an object on the first frame there is nothing to follow and there are no figures.
    """

    def __init__(self, recording: Recording, one_object: bool) -> None:
        self._recording, self._scoring = recording, SemiSupervised(one_object, recording.shown)

    def take(self, result: FrameResult) -> None:
        labels = self._recording.labels_of(result.frame_index)
        assert labels is not None, "every frame of a sequence has a mask file"
        self._scoring.update(result.labels, labels.objects)

    def figures(self) -> Mapping[str, Any]:
        """Object id -> J and F frame by frame, None on frames that are not evaluated."""
        return {
            str(number): {"J": _to_json(score.jaccards), "F": _to_json(score.boundaries)}
            for number, score in self._scoring.compute().items()
        }


def summarize(scores: Sequence[ObjectScore]) -> dict[str, float]:
    """Means over objects (percent), as the official tools form them; NaN throughout if there is no object at all."""
    parts = np.array([(*score.j, *score.f) for score in scores]).reshape(-1, len(MEANS))
    means = {name: 100 * known_mean(column) for name, column in zip(MEANS, parts.T, strict=True)}
    return {"j_and_f": (means["j"] + means["f"]) / 2, **means}


class ObjectFigures(Measure):
    """The measure of `video_folders`."""

    def score(self, data: RecordingSet, recordings: Sequence[Recording], folder: Path, writer: FigureWriter) -> Scores:
        """Averages over the objects of all sequences, not over sequences."""
        found = {name: scores_of(figures) for name, figures in writer.all(recordings).items()}
        every = summarize([score for scores in found.values() for score in scores])
        rows = {name: {"objects": len(scores), **summarize(scores)} for name, scores in found.items()}
        return Scores({}, every, rows)

    def fields(self, scores: Scores) -> Mapping[str, Any]:
        """The names of the sequences, and the means."""
        return {"sequences": list(scores.rows), **scores.summary}

    def show(self, title: str, scores: Scores, records: Sequence[VideoRecord]) -> None:
        """One row per sequence, in the order given, and the mean over all objects."""
        table = plain_table(title, "sequence", "objects", "frames", "J&F", "J", "F", "frames/s", no_wrap=True)
        keys = ("j_and_f", "j", "f")
        for record in records:
            row = scores.rows[record.name]
            figures = (f"{row[key]:.1f}" for key in keys)
            table.add_row(record.name, str(row["objects"]), str(record.num_frames), *figures, f"{record.speed:.2f}")
        table.add_section()
        counts = sum(int(row["objects"]) for row in scores.rows.values()), sum(record.num_frames for record in records)
        means = (f"{scores.summary[key]:.1f}" for key in keys)
        table.add_row("mean over objects", *map(str, counts), *means, "")
        print_whole(table)

    def remark(self, writer: FigureWriter, recording: Recording, record: VideoRecord) -> str:
        """The figure of a sequence."""
        figure = summarize(scores_of(writer.read(recording) or {}))["j_and_f"]
        return f"{recording.name}: J&F {figure:.1f}, {record.speed:.2f} frames/s"


def scores_of(figures: Mapping[str, Any]) -> list[ObjectScore]:
    """What `FirstMaskScorer.figures` has told."""
    return [ObjectScore(_from_json(each["J"]), _from_json(each["F"])) for each in figures.values()]


def _to_json(values: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values]


def _from_json(values: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(math.nan if value is None else float(value) for value in values)
