"""Runs of the trainer: resuming, stopping, saving, what is said, and several processes."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.toy_run import CPU, Step, Toy, assert_same, batches, losses_of, options, snapshot, trainer
from univs.errors import UserError
from univs.training.checkpoint import load_checkpoint, save_checkpoint
from univs.training.running_clock import RunningClock
from univs.training.schedule import Budget
from univs.training.trainer import Trainer, _moved


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """To the bit, from a run that was stopped in the middle of its schedule."""
    whole = trainer(tmp_path / "whole")
    whole.run()
    model = Toy()
    plain, calls = losses_of(model), itertools.count()

    def step(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return plain(batch, kept)

    (tmp_path / "parts").mkdir()
    stopped = Trainer(model, step, batches, options(), tmp_path / "parts", CPU)
    stopped.run()
    resumed = trainer(tmp_path / "parts")
    assert resumed.step_number == 3 and resumed.seconds == stopped.seconds > 0
    assert_same(snapshot(resumed), snapshot(stopped))
    resumed.run()
    assert_same(snapshot(resumed), snapshot(whole))


def test_what_a_step_draws_depends_on_the_seed_and_its_number(tmp_path: Path) -> None:
    drawn: dict[tuple[str, int], list[float]] = {}
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        model, values = Toy(), []
        plain = losses_of(model)

        def step(batch: dict[str, Any], kept: float, plain: Step = plain, to: list[float] = values) -> Any:
            to.append(float(torch.rand(())))
            return plain(batch, kept)

        folder = tmp_path / name
        folder.mkdir()
        torch.manual_seed(seed)
        run = Trainer(model, step, batches, options(4), folder, CPU)
        torch.rand(len(name))  # whatever else is drawn in between
        run.run()
        drawn[name, seed] = values
    assert drawn["one", 3] == drawn["same", 3] and len(set(drawn["one", 3])) == 4
    assert not set(drawn["one", 3]) & set(drawn["other", 4])


@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C"])
def test_a_run_that_is_stopped_saves_what_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str) -> None:
    model = Toy()
    plain, calls = losses_of(model), itertools.count()

    def step(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        if next(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM if how == "SIGTERM" else signal.SIGINT)
        return plain(batch, kept)

    before = signal.getsignal(signal.SIGTERM)
    run = Trainer(model, step, batches, options(100), tmp_path, CPU)
    run.run()
    assert signal.getsignal(signal.SIGTERM) is before
    assert "the same command goes on from here" in capsys.readouterr().err
    state = load_checkpoint(tmp_path / "last.pt")
    assert state is not None and state["step"] == 2 == run.step_number
    assert_same(state["model"], snapshot(run)["model"])
    assert next(calls) == 3


def test_an_error_ends_the_run_but_what_is_learnt_is_kept(tmp_path: Path) -> None:
    def ending(start: int) -> Generator[dict[str, Any], None, None]:
        yield from itertools.islice(batches(start), 2)
        raise UserError("the source broke")

    model = Toy()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(UserError, match="the source broke"):
        Trainer(model, losses_of(model), ending, options(), tmp_path, CPU).run()
    state = load_checkpoint(tmp_path / "last.pt")
    assert state is not None and state["step"] == 2 and signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("minutes", "seen"), [(0.0, [None, 1, 2]), (60.0, [None, None, None])])
def test_checkpoints_on_the_way(tmp_path: Path, minutes: float, seen: list[int | None]) -> None:
    model, found = Toy(), []
    plain = losses_of(model)

    def step(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        state = load_checkpoint(tmp_path / "last.pt")
        found.append(None if state is None else state["step"])
        return plain(batch, kept)

    Trainer(model, step, batches, options(3, save_minutes=minutes), tmp_path, CPU).run()
    assert found == seen
    state = load_checkpoint(tmp_path / "last.pt")
    assert state is not None and state["step"] == 3


def test_minutes_between_checkpoints_are_those_of_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes four seconds, and more than a fifth of a minute lies between two checkpoints."""
    now, saved, model = [0.0], list[int](), Toy()
    plain = losses_of(model)

    def step(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        now[0] += 4.0
        return plain(batch, kept)

    run = Trainer(model, step, batches, options(10, save_minutes=0.2), tmp_path, CPU)
    monkeypatch.setattr(run.clock, "_now", lambda: now[0])
    monkeypatch.setattr(run, "save", lambda: saved.append(run.step_number))
    run.run()
    assert saved == [4, 8, 10]


def test_what_the_log_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first and the last step are said, with the losses as the step weighs them."""
    run = trainer(tmp_path)
    run.run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 6]
    assert set(lines[0]) == {"step", "minutes", "square", "size", "gradient_norm", "data_share"}
    model = Toy()
    first = losses_of(model)(next(batches(0)), 0.9)
    assert lines[0]["square"] == pytest.approx(float(first["square"].detach()))
    assert lines[1]["minutes"] == pytest.approx(run.seconds / 60) and 0 <= lines[1]["data_share"] <= 1
    said = " ".join(capsys.readouterr().err.split())
    assert "step 1 (16.7%" in said and "step 6 (100.0%" in said and "0 min left" in said
    assert any((tmp_path / "curves").iterdir())


def test_minutes_go_on_counting_where_a_run_left_off(tmp_path: Path) -> None:
    short = options(budget=Budget(minutes=1e-9))
    first = trainer(tmp_path, short)
    first.run()
    assert first.step_number == 1, "the time of the one step is more than that"
    again = trainer(tmp_path, short)
    assert again.seconds == first.seconds and again.progress() == 1
    again.run()
    assert again.step_number == 1
    half = trainer(tmp_path, options(budget=Budget(minutes=again.seconds / 30)))
    assert half.progress() == pytest.approx(0.5)


def test_minutes_in_which_a_run_is_suspended_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which every step takes a second, and the twelfth a night."""
    now = [0.0]
    model = Toy()
    plain = losses_of(model)

    def step(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        for _ in range(3):  # the clock is read in between
            now[0] += 4.0
            run.clock()
        now[0] += 30000.0 if run.step_number == 11 else 0.0
        return plain(batch, kept)

    run = Trainer(model, step, batches, options(budget=Budget(minutes=5)), tmp_path, CPU)
    monkeypatch.setattr(run.clock, "_now", lambda: now[0])
    run.run()
    assert run.step_number == 25 and run.seconds == 25 * 12 + RunningClock.MOST


@pytest.mark.parametrize("half", [False, True])
def test_the_model_trains_in_train_mode_and_half_precision_where_asked(tmp_path: Path, half: bool) -> None:
    model, seen = Toy().eval(), []
    plain = losses_of(model)

    def step(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        seen.append((model.training, torch.is_autocast_enabled("cpu"), model(batch["x"]).dtype))
        return plain(batch, kept)

    precision = "bfloat16" if half else "float32"
    Trainer(model, step, batches, options(1, precision=precision), tmp_path, CPU).run()  # type: ignore[arg-type]
    assert seen == [(True, half, torch.bfloat16 if half else torch.float32)]


def test_nested_tensors_of_a_batch_go_to_the_device() -> None:
    batch = {"x": torch.ones(1), "inner": {"y": torch.ones(2)}, "texts": ["a"]}
    moved = _moved(batch, torch.device("meta"))  # a device that is not the batch's, on every machine
    assert moved["x"].is_meta and moved["inner"]["y"].is_meta and moved["texts"] == ["a"]


@pytest.mark.parametrize(
    "state",
    [
        {"step": 1, "model": {"other": torch.zeros(1)}, "optimizer": {}},
        {"step": 1},
        {"step": 1, "model": "none"},
    ],
)
def test_a_checkpoint_of_another_model_is_a_clear_error(tmp_path: Path, state: dict[str, Any]) -> None:
    save_checkpoint(tmp_path / "last.pt", state)
    with pytest.raises(UserError, match="another model, other trained parts or another version") as error:
        trainer(tmp_path)
    assert "\n" not in str(error.value) and "choose another out=" in str(error.value)


def test_a_checkpoint_with_other_trained_parts_is_named(tmp_path: Path) -> None:
    trainer(tmp_path).run()
    model = Toy()
    model.backbone.requires_grad_(False)
    with pytest.raises(UserError, match="other trained parts"):
        Trainer(model, losses_of(model), batches, options(), tmp_path, CPU)


class Wrapped(nn.Module):
    """Stands in for DistributedDataParallel."""

    def __init__(self, module: nn.Module, **named: Any) -> None:
        super().__init__()
        self.module, self.named = module, named

    def forward(self, *given: Any) -> Any:
        return self.module(*given)


@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_several_processes_goes_by_the_first_ones_clock_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setattr(nn.parallel, "DistributedDataParallel", Wrapped)
    shares = iter([0.25, 0.75, 1.0])

    def all_reduce(told: Tensor, how: Any) -> None:
        assert how == torch.distributed.ReduceOp.MAX
        assert told.tolist() == pytest.approx([0.0 if rank else run.step_number / 100, 0.0])
        told[0] = next(shares)

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    run = trainer(tmp_path, options(100))
    assert isinstance(run.forward, Wrapped) and run.forward.named == {"find_unused_parameters": True}
    run.run()
    assert run.step_number == 2, "until the first process says that the budget is spent"
    assert any(tmp_path.iterdir()) == (rank == 0)


@pytest.mark.parametrize("told", [True, False])
def test_several_processes_stop_after_the_same_step_whoever_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """A signal does not end a step here, which the others would wait for: it is said when all meet."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(nn.parallel, "DistributedDataParallel", Wrapped)
    model = Toy()
    plain = losses_of(model)

    def step(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        if told and run.step_number == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(batch, kept)

    def all_reduce(said: Tensor, how: Any) -> None:
        assert said[1] == (told and run.step_number == 3)
        said[1] = run.step_number == 3

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    run = Trainer(model, step, batches, options(100), tmp_path, CPU)
    run.run()
    state = load_checkpoint(tmp_path / "last.pt")
    assert state is not None and state["step"] == 3 == run.step_number


def test_a_stop_in_the_middle_of_an_update_waits_for_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, moments and average of one and the same step are saved."""
    run, other = trainer(tmp_path), trainer(tmp_path / "other", options(6))
    step = run.optimizer.step

    def stopped(*given: Any) -> Any:
        if run.step_number == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*given)

    monkeypatch.setattr(run.optimizer, "step", stopped)
    run.run()
    state = load_checkpoint(tmp_path / "last.pt")
    assert state is not None and state["step"] == 3 == run.step_number
    resumed = trainer(tmp_path)
    resumed.run()
    other.run()
    assert_same(snapshot(resumed), snapshot(other))


def test_a_run_that_goes_on_takes_the_rates_and_the_decay_that_are_asked_for_now(tmp_path: Path) -> None:
    trainer(tmp_path, options(2)).run()
    for factor in (0.5, 1.0):
        groups = trainer(tmp_path, options(4, weight_decay=0.7, backbone_factor=factor)).optimizer.param_groups
        assert sorted((one["factor"], one["weight_decay"]) for one in groups) == sorted(
            [(factor, 0.7), (factor, 0.0), (1.0, 0.7), (1.0, 0.0)]
        )


def test_a_run_goes_on_with_what_it_was_begun_with_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def begun(steps: int = 2, **origin: str) -> Trainer:
        model = Toy()
        return Trainer(model, losses_of(model), batches, options(steps), tmp_path, CPU, None, origin)

    first = {"init": "imagenet", "seed": "0"}
    begun(**first).run()
    assert "goes on" not in capsys.readouterr().err
    for name, value in (("init", "runs/tiny/tiny.safetensors"), ("seed", "1")):
        with pytest.raises(UserError) as error:
            begun(**{**first, name: value})
        assert str(error.value) == (
            f"{tmp_path / 'last.pt'} is of a run with {name}={first[name]}, not {value}; choose another out=, or give "
            "what it was begun with to go on"
        )
    assert begun().step_number == 2, "of who says nothing nothing is asked"
    again = begun(3, **first)
    again.run()
    said = capsys.readouterr().err
    assert again.step_number == 3 and f"goes on from step 2 of {tmp_path / 'last.pt'}\n" in said
    begun(3, **first).run()
    said = capsys.readouterr().err
    assert "goes on from step 3" in said and "its budget is spent: nothing is left to train\n" in said


def test_an_update_that_fails_half_way_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(tmp_path, options(6, save_minutes=0.0))
    update = run.average.update

    def failing(model: nn.Module) -> None:
        if run.step_number == 2:
            raise RuntimeError("the optimizer stepped, the average did not")
        update(model)

    monkeypatch.setattr(run.average, "update", failing)
    with pytest.raises(RuntimeError):
        run.run()
    state = load_checkpoint(tmp_path / "last.pt")
    assert state is not None and state["step"] == 2 and state["average"]["updates"] == 2
