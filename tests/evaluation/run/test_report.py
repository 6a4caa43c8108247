"""What a person reads of a benchmark."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from univs.evaluation.run.benchmark_run import Outcome
from univs.evaluation.run.records import VideoRecord
from univs.evaluation.run.report import report


def test_speed_is_that_of_all_frames(tmp_path: Path) -> None:
    job: Any = SimpleNamespace(title="davis17 test-dev", folder=tmp_path)
    shown = io.StringIO()
    records = [VideoRecord("a", 6, 2.0), VideoRecord("b", 4, 0.5, {"1": 0.5, "2": 1.0})]
    report(Outcome(job, records, None, None, "scored by its server"), Console(file=shown, width=200))
    first, second, _ = shown.getvalue().splitlines()
    assert first == "2 videos, 10 frames, 4.00 frames/s; scored by its server"
    assert second == "IoU on the frame on which an object is shown: 75.0 (mean of 2 objects)"
