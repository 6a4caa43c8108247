"""The benchmark of interactive rounds: what it counts, and that it can be run."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace

import pytest
import torch

from tests.models.test_space_time_memory import numbers
from univs import benchmark
from univs.benchmark import interactive
from univs.errors import UserError
from univs.models.zoo import build_space_time


def test_what_is_said_of_a_round() -> None:
    mib = 2**20
    one = interactive.Round((9.0, 1.0, 1.2, 0.8, 1.0, 0.9), tuple(m * mib for m in (10, 40, 50, 60, 66, 70)), 99, 0.5)
    assert one.passes == 2.0
    assert one.growth == pytest.approx(5.0)


def test_a_round_is_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    light = build_space_time(numbers(trunk="tf_efficientnet_lite0")).eval().requires_grad_(False)
    monkeypatch.setattr(interactive, "random_network", lambda: light)
    monkeypatch.setattr(interactive, "plain_pass", lambda height, width: 0.5)
    asked: list[tuple[tuple[int, int], int, int]] = []

    def here(weights: str | None, size: tuple[int, int], objects: int, frames: int, threads: int) -> interactive.Round:
        asked.append((size, objects, frames))
        return interactive.run(weights, (48, 64), objects, frames, torch.get_num_threads())

    monkeypatch.setattr(interactive, "apart", here)
    assert benchmark.main(["interactive", "--frames", "3", "10", "--objects", "1", "2"]) == 0
    assert asked == [((480, 864), objects, frames) for objects in (1, 2) for frames in (3, 10)]
    shown = capsys.readouterr().out
    assert "4.6" in shown and "1902" in shown and "passes a frame" in shown
    ticks = count(1)
    monkeypatch.setattr(interactive, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    one = interactive.run(None, (48, 64), 2, 4, torch.get_num_threads())
    assert one.seconds == (1.0, 1.0, 1.0), "each frame by itself"
    assert len(one.seconds) == len(one.resident) == 3 and one.unit == 0.5 and one.peak > max(one.resident) / 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--frames", "1"], "--frames at least 2"),
        (["--objects", "0"], "--objects: '0' is no number of objects from 1 to 255"),
        (["--objects", "1", "256"], "--objects: '256' is no number of objects from 1 to 255"),
        (["--threads", "0"], "--threads must be at least 1"),
    ],
)
def test_impossible_numbers_are_refused(arguments: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        benchmark.main(["interactive", *arguments])
    with pytest.raises(UserError, match="are no weights of a space-time memory"):
        interactive.run("tiny", (48, 64), 1, 2, torch.get_num_threads())
