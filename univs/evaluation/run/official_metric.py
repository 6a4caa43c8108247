"""Figures of answers that were written in an official layout: those of `univs score`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from univs.evaluation.metrics.score_printing import print_table, score_with_progress
from univs.evaluation.metrics.scores import METRICS, Scores
from univs.evaluation.run.benchmark import Measure
from univs.evaluation.run.records import VideoRecord
from univs.formats import Recording, RecordingSet
from univs.formats.answer_writer import AnswerWriter
from univs.formats.truth_files import Truth

FEW_VIDEOS = 8
"""Fewer videos are scored by this process: another one takes seconds to start."""


@dataclass(frozen=True)
class OfficialMetric(Measure):
    """A metric of `univs score`.

    name: its name there. truth: what it takes as ground truth. options: of the metric.
    """

    name: str
    truth: Truth
    options: Mapping[str, str] = field(default_factory=dict)

    def score(
        self, data: RecordingSet, recordings: Sequence[Recording], folder: Path, writer: AnswerWriter
    ) -> Scores | None:
        """The official figures of the answers; None where the set has no ground truth of these videos."""
        home = folder / "truth"
        shutil.rmtree(home, ignore_errors=True)
        truth = self.truth(data, recordings, home)
        if truth is None:
            return None
        workers = 1 if len(recordings) < FEW_VIDEOS else None
        return score_with_progress(self.name, METRICS[self.name], truth, writer.pred, workers, self.options)

    def lacking(self, data: RecordingSet) -> str:
        """Which ground truth is missing where."""
        return f"no ground truth for {self.name} in {data.root}"

    def show(self, title: str, scores: Scores, records: Sequence[VideoRecord]) -> None:
        """The table of `univs score`."""
        print_table(f"{title}: {METRICS[self.name].text}", scores)
