"""Every benchmark with a model that finds nothing: a legal answer, which scores 0 and is written as any other."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.evaluation.run.oracle import export
from univs.evaluation.run.benchmark_run import answer, find_job
from univs.evaluation.run.sharding import World
from univs.evaluation.run.table import BENCHMARKS
from univs.results import FrameResult

SPLITS = {"mose": "train"}
"""Where the first split has no ground truth of its own."""


class Silent:
    """Finds nothing on any frame."""

    def __init__(self) -> None:
        self.frames = 0

    def push(self, frame: np.ndarray, prompts: Sequence[Any] = ()) -> list[FrameResult]:
        self.frames += 1
        return [FrameResult(self.frames - 1, np.zeros(frame.shape[:2], np.uint8), ())]

    def flush(self) -> list[FrameResult]:
        return []


@pytest.mark.parametrize("name", BENCHMARKS)
def test_finding_nothing_scores_nothing(name: str, tmp_path: Path) -> None:
    root = export(name, tmp_path / "set", split=SPLITS.get(name))
    job = find_job(name, root, SPLITS.get(name), None, tmp_path / "out")
    outcome = answer(job, lambda recording, question: Silent(), {}, World(), Console(file=io.StringIO()))
    assert outcome is not None and outcome.scores is not None
    written = json.loads((job.folder / "summary.json").read_text())
    assert written["videos"] == len(job.recordings) and written["figures"].keys() == outcome.figures.keys()
    known = {key: value for key, value in outcome.figures.items() if not math.isnan(value)}
    if BENCHMARKS[name].task in ("vos", "pvos", "refvos") and name != "burst":
        # An object that is gone counts as right on a frame where nobody finds it.
        assert known and all(value < 50 for key, value in known.items() if key != "decay")
    else:  # consistency asks for constancy alone
        assert known and {value for key, value in known.items() if not key.startswith("mVC")} == {0.0}
