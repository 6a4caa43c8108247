"""What makes a benchmark: a set, a task, how a recording is asked, how answers are written and how they are scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from univs.evaluation.benchmarks.asking import Ask
from univs.evaluation.benchmarks.form import Form
from univs.evaluation.benchmarks.server import Server
from univs.evaluation.benchmarks.truth import Truth
from univs.evaluation.scores import Scores
from univs.formats import RecordingSet


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


@dataclass(frozen=True)
class Benchmark:
    """A public set, and how a model is examined on it.

    dataset: its name in `univs.formats`. task: of the six. ask: what is said about a recording. form: the layout
    of answers. metric: its name in `univs score`; with options. truth: what this metric takes as ground truth.
    figures: those that a paper prints. server: what the server takes, of the splits that are scored by one alone.
    """

    dataset: str
    task: str
    ask: Ask
    form: Callable[[Path, RecordingSet], Form]
    metric: str
    truth: Truth
    figures: Sequence[Figure]
    options: Mapping[str, str] = field(default_factory=dict)
    server: Server | None = None

    def main_figures(self, scores: Scores) -> dict[str, float]:
        """The figures of papers, in percent."""
        return {figure.name: figure.of(scores) for figure in self.figures}
