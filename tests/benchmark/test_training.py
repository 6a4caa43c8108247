"""Where the time of a training step goes."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.training.conftest import build_small
from univs.benchmark import main, training
from univs.benchmark.training import WAITING, DeviceClock, Timing, timing_table, with_defaults
from univs.configuration import compose
from univs.errors import UserError
from univs.training import run

CPU = torch.device("cpu")
FAST = [
    "device=cpu", "stage.size=64", "stage.batch_size=1", "stage.frames=2", "stage.workers=0", "stage.accumulate=2",
    "stage.losses.points=16",
]  # fmt: skip
WORLD = ["data.root=-", "data.sources=[]", "data.probabilities={photo: 0, video: 0, synth: 1}"]


def test_the_parts_of_a_step_add_up(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found: list[Timing] = []
    measure, threads = training.measure, torch.get_num_threads()

    def measured(*given: Any) -> Timing:
        found.append(measure(*given))
        return found[0]

    monkeypatch.setattr(run.zoo, "build_model", lambda numbers: build_small())
    monkeypatch.setattr(training, "measure", measured)
    try:
        small_world = [*WORLD, "data.synth.num_frames=2", "init=null"]
        assert main(["training", *FAST, *small_world, "--steps", "1", "--warm-up", "1", "--threads", "1"]) == 0
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
    timing = found[0]
    assert list(timing.parts) == [WAITING, "forward", "backward", "optimizer, average", "the rest"]
    assert sum(timing.parts.values()) == pytest.approx(1) and all(share > 0 for share in timing.parts.values())
    assert timing.frames == 4 and timing.precision in ("float32", "bfloat16") and timing.peak > 2**20
    said = capsys.readouterr().out
    assert "tiny" in said and "4 of 64 x 64" in said and f"{4 / timing.seconds:.1f}" in said


def test_the_seconds_are_those_of_a_step_and_begin_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which each step takes seven seconds, the first one a hundred."""
    updates: list[float] = []
    update = training.Trainer.update

    def noted(self: training.Trainer, norm: Any) -> None:
        updates.append(7.0 if updates else 100.0)
        update(self, norm)

    monkeypatch.setattr(run.zoo, "build_model", lambda numbers: build_small())
    monkeypatch.setattr(training.Trainer, "update", noted)
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: sum(updates)))
    fast = [one for one in FAST if "accumulate" not in one]
    settings = compose("train", [*fast, *WORLD, "data.synth.num_frames=2", "init=null"])
    training.check_run(settings)
    assert training.measure(settings, CPU, steps=2, warm_up=1).seconds == 7


def test_shares_and_speed_in_the_table() -> None:
    settings: dict[str, Any] = {"stage": {"size": 64}, "model": {"name": "tiny"}}
    table = timing_table(settings, CPU, Timing(0.5, {"forward": 0.25, "backward": 0.75}, 16, 2**21, "float32"))
    assert list(table.columns[1].cells) == ["tiny", "cpu, float32", "16 of 64 x 64", "32.0", "500", "25%", "75%", "2"]


def test_data_and_weights_are_made_up_where_none_are_named() -> None:
    assert with_defaults(["stage=clip"]) == ["init=null", *WORLD, "stage=clip"]
    assert with_defaults(["data.root=/d", "init=tiny"]) == ["data.root=/d", "init=tiny"]
    for given in (["stage=image"], ["stage=words"]):
        training.check_run(compose("train", with_defaults(given)))


def test_a_gpu_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[Any] = []

    def synchronize(device: torch.device) -> None:
        waited.append(device)
        time.sleep(0.02)

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    clock = DeviceClock(torch.device("cuda"))
    assert clock.wrap("forward", lambda: 3)() == 3
    assert waited == [torch.device("cuda")] and clock.seconds["forward"] >= 0.02
    DeviceClock(CPU).wrap("forward", lambda: 3)()
    assert len(waited) == 1


@pytest.mark.parametrize("options", [["--steps", "0"], ["--warm-up", "-1"], ["--threads", "0"], ["stage.size=7"]])
def test_what_cannot_be_used_is_one_line(options: list[str]) -> None:
    with pytest.raises(UserError):
        main(["training", *options])
