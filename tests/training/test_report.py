"""What is said of the steps of a run, on a terminal and elsewhere."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from univs.terminal import plain_console
from univs.training import report as report_module
from univs.training.report import Report
from univs.training.schedule import Budget

FOUND = {"dice": torch.tensor(0.25), "size": torch.tensor(2.0), "gradient_norm": torch.tensor(9.0)}


class Curves:
    """Stands in for tensorboard."""

    drawn: list[tuple[str, float, int]] = []

    def __init__(self, folder: str) -> None:
        self.drawn.clear()

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.drawn.append((name, value, step))

    def close(self) -> None:
        pass


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock of one's own."""
    now = [100.0]
    monkeypatch.setattr(report_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", Curves)
    return now


def made(monkeypatch: pytest.MonkeyPatch, out: Path, budget: Budget, terminal: bool) -> tuple[Report, io.StringIO]:
    said = io.StringIO()

    def console(**given: Any) -> Any:
        assert given == {"stderr": True}
        return plain_console(file=said, force_terminal=terminal, width=200)

    monkeypatch.setattr(report_module, "plain_console", console)
    return Report(out, budget, "float32: why"), said


def test_lines_the_log_and_the_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: list[float]) -> None:
    """The first step, one every ten seconds, and the last."""
    report, said = made(monkeypatch, tmp_path, Budget(steps=160), False)
    report.step(40, 120.0, 0.25, FOUND, 0.1)
    now[0] += 9
    report.step(41, 123.0, 0.26, FOUND, 0.1)
    now[0] += 2
    report.step(42, 126.0, 0.2625, FOUND, 0.2)
    report.step(160, 480.0, 1.0, FOUND, 0.2)
    report.close()
    words = "dice 0.250 size 2.000 gradient_norm 9.000 data_share"
    assert said.getvalue().splitlines() == [
        "float32: why",
        f"step 40 (25.0%, 3.00 s a step, 6 min left): {words} 0.100",
        f"step 42 (26.2%, 3.00 s a step, 6 min left): {words} 0.200",
        f"step 160 (100.0%, 3.00 s a step, 0 min left): {words} 0.200",
    ]
    assert Curves.drawn[:2] == [("dice", 0.25, 40), ("size", 2.0, 40)] and len(Curves.drawn) == 12
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [40, 42, 160]
    assert lines[0] == {
        "step": 40, "minutes": 2.0, "dice": 0.25, "size": 2.0, "gradient_norm": 9.0, "data_share": 0.1
    }  # fmt: skip


@pytest.mark.parametrize(("budget", "done"), [(Budget(steps=160), "40/160"), (Budget(minutes=8), "2/8")])
def test_a_terminal_has_a_bar_in_place_of_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: list[float], budget: Budget, done: str
) -> None:
    report, said = made(monkeypatch, tmp_path, budget, True)
    report.step(40, 120.0, 0.25, FOUND, 0.1)
    report.say("a line")
    report.close()
    shown = said.getvalue()
    assert "float32: why" in shown and "a line" in shown and "min left" not in shown
    assert "step 40, loss 2.250, 3.00 s a step" in shown and done in shown
    assert json.loads((tmp_path / "log.jsonl").read_text())["step"] == 40
