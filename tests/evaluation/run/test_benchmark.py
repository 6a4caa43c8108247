"""Figures of papers, and the sessions that answer a benchmark."""

from __future__ import annotations

import math
from typing import Any

import pytest

from univs import streaming
from univs.evaluation.metrics.scores import Scores
from univs.evaluation.run.benchmark import Figure, streaming_sessions
from univs.evaluation.run.questions import Question
from univs.evaluation.run.table import BENCHMARKS
from univs.formats import Recording


def test_figures_are_percent_and_unknown_ones_are_not_numbers() -> None:
    scores = Scores({}, {"AP": 0.25, "VPQ": 31.5, "AR": -1.0})
    assert Figure("AP", "AP").of(scores) == 25
    assert Figure("VPQ", "VPQ", 1).of(scores) == 31.5
    assert math.isnan(Figure("AR", "AR", unknown=-1.0).of(scores)) and Figure("AR", "AR").of(scores) == -100


@pytest.mark.parametrize("name", BENCHMARKS)
def test_no_figure_is_that_of_another_name(name: str) -> None:
    figures = BENCHMARKS[name].figures
    keys = [figure.key for figure in figures]
    assert len(set(keys)) == len({figure.name for figure in figures}) == len(figures)
    assert all(figure.key == figure.name for figure in figures if figure.name in keys)


@pytest.mark.parametrize(("size", "given"), [(480, 480), (None, 0)])
def test_each_video_has_a_session_that_knows_its_objects(
    size: int | None, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []

    class Session:
        def __init__(self, model: str, task: str, **options: Any) -> None:
            self.said = {"model": model, "task": task, **options}
            made.append(self.said)

        def expect(self, object_ids: tuple[int, ...]) -> None:
            self.said["expected"] = object_ids

        def close(self) -> None:
            self.said["closed"] = True

    monkeypatch.setattr(streaming, "Session", Session)
    new_session = streaming_sessions("model", "vos", size, {"precision": "half"})  # type: ignore[arg-type]
    for ids in ((1, 2), (7,)):
        new_session(Recording("a", ()), Question((0,), lambda frame: [], ids))
    same = {"model": "model", "task": "vos", "size": given, "keep_results": False, "precision": "half"}
    assert made == [{**same, "closed": True}, {**same, "expected": (1, 2)}, {**same, "expected": (7,)}]
