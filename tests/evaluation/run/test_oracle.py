"""Every benchmark on a SynthVS export in its own layout: the truth scores 100, worse answers what they are worth."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console

from tests.evaluation.run.oracle import export, oracles
from univs.evaluation.run.benchmark_run import Outcome, answer, find_job
from univs.evaluation.run.sharding import World
from univs.evaluation.run.table import BENCHMARKS


def examine(name: str, root: Path, out: Path, **options: int) -> Outcome:
    job = find_job(name, root, SPLITS.get(name), None, out)
    outcome = answer(job, oracles(name, job.data, **options), options, World(), Console(file=io.StringIO()))
    assert outcome is not None
    return outcome


SPLITS = {"mose": "train"}
"""Where the first split has no ground truth of its own."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Clips in the layout of a set, with their ground truth, by its name."""
    root = tmp_path_factory.mktemp("exports")
    return cache(lambda name: export(name, root / name, split=SPLITS.get(name)))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_truth_scores_a_hundred(name: str, exported: Callable[[str], Path], tmp_path: Path) -> None:
    outcome = examine(name, exported(name), tmp_path)
    # AR1 counts one object per video and class, of which there may be more; decay of perfect answers is 0.
    assert outcome.figures.get("decay", 0.0) == pytest.approx(0.0)
    figures = {key: value for key, value in outcome.figures.items() if key not in ("AR1", "decay")}
    known = {key: value for key, value in figures.items() if not math.isnan(value)}
    assert known and known == pytest.approx(dict.fromkeys(known, 100.0))
