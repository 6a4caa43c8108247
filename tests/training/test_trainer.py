"""The trainer against a loop written out, step by step; resuming, stopping, and steps that overflow."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.toy_run import CPU, Step, Toy, assert_same, batches, losses_of, options, snapshot, trainer
from univs.errors import UserError
from univs.training.trainer import Trainer, parameter_groups


@pytest.mark.parametrize("clip", [0.05, 100.0])
def test_a_run_is_the_loop_written_out(tmp_path: Path, clip: float) -> None:
    """Warm-up, cosine, kept share, two rates, decay of matrices alone, clipping and the average, all in real steps."""
    run = trainer(tmp_path, options(clip_norm=clip))
    run.run()
    model = Toy()
    step, moments = losses_of(model), {name: (0.0, 0.0) for name, _ in model.named_parameters()}
    average = {name: value.clone() for name, value in model.state_dict().items()}
    for number, batch in zip(range(6), batches(0), strict=False):
        progress = number / 6
        rate = (0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * progress))) * min(1, (number + 1) / 2) * 1e-2
        kept = 0.9 - 0.4 * min(1, progress / 0.6)
        model.zero_grad()
        sum(step(batch, kept).values()).backward()  # type: ignore[union-attr]
        norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None))
        assert (norm > clip) == (clip < 1)
        for name, p in model.named_parameters():
            assert p.grad is not None
            gradient = p.grad * min(1, clip / norm)
            slow = 0.1 if name.startswith("backbone") or ".trunk." in name else 1.0
            decay = 0.1 if name.endswith(".weight") else 0.0
            first, second = moments[name]
            moments[name] = (0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2)
            first, second = (m / (1 - b ** (number + 1)) for m, b in zip(moments[name], (0.9, 0.999), strict=True))
            p.data = p.data * (1 - rate * slow * decay) - rate * slow * first / (second**0.5 + 1e-8)  # type: ignore[operator]
        ema = min(0.9, (2 + number) / (11 + number))
        for name, value in model.state_dict().items():
            average[name] = ema * average[name] + (1 - ema) * value
    assert run.step_number == 6
    for name, value in model.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], value, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(run.average.values[name], average[name], atol=1e-5, rtol=1e-4)


def test_rates_drop_and_the_kept_share_falls_at_the_shares_of_the_run_that_are_asked_for(tmp_path: Path) -> None:
    model, kept, rates = Toy(), list[float](), list[float]()
    plain = losses_of(model)

    def step(batch: dict[str, Any], share: float) -> dict[str, Tensor]:
        kept.append(share)
        rates.append(max(group["lr"] for group in run.optimizer.param_groups))
        return plain(batch, share)

    given = options(10, warmup=0, dropped_at=0.5, kept_begins=0.3, kept_reached=0.7)
    run = Trainer(model, step, batches, given, tmp_path, CPU)
    run.run()
    assert kept == pytest.approx([0.9] * 4 + [0.8, 0.7, 0.6] + [0.5] * 3)
    assert rates == pytest.approx([1e-2] * 5 + [2e-3] * 5)


def test_long_gradients_are_shortened_to_the_norm_asked_for(tmp_path: Path) -> None:
    run = trainer(tmp_path, options(clip_norm=0.01))
    found = run.gradients([next(batches(0))], 0.0)
    run.update(found["gradient_norm"])
    first = [state["exp_avg"] for state in run.optimizer.state.values()]
    taken = math.sqrt(sum(float(m.square().sum()) for m in first)) / 0.1  # the first moment is a tenth of the gradient
    assert taken == pytest.approx(0.01, rel=1e-3) and float(found["gradient_norm"]) > 0.1
    assert set(found) == {"square", "size", "gradient_norm"} and not found["square"].requires_grad


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_step_that_is_not_finite_is_left_out(tmp_path: Path, bad: float) -> None:
    """Weights, moments and average stay; the next batch is taken, and the step counts."""
    taken: list[dict[str, Any]] = []
    model = Toy()
    plain = losses_of(model)

    def step(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        taken.append(snapshot(run))
        found = plain(batch, kept)
        return {**found, "size": found["size"] * (bad if len(taken) == 3 else 1)}

    run = Trainer(model, step, batches, options(5), tmp_path, CPU)
    run.run()
    assert len(taken) == 5 == run.step_number and run.average.updates == 4
    for what in ("model", "average"):
        assert_same(taken[3][what], taken[2][what])
    assert_same(taken[3]["optimizer"]["state"], taken[2]["optimizer"]["state"])
    for before, after in ((taken[1], taken[2]), (taken[3], taken[4])):
        assert all(not torch.equal(before["model"][name], after["model"][name]) for name in before["model"])
    assert all(bool(value.isfinite().all()) for value in run.model.state_dict().values())


def test_gradients_of_a_finite_loss_may_overflow_too(tmp_path: Path) -> None:
    model = Toy()

    def step(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        root = (model(batch["x"]) * 0).abs().sum().sqrt()  # 0, with an endless slope
        return {"root": root}

    run = Trainer(model, step, batches, options(), tmp_path, CPU)
    before = snapshot(run)
    norm = run.gradients([next(batches(0))], 0.0)["gradient_norm"]
    assert math.isnan(float(norm))
    run.update(norm)
    assert_same(snapshot(run)["model"], before["model"])
    assert_same(snapshot(run)["average"], before["average"])


def test_frozen_parts_keep_their_weights_and_are_no_part_of_the_optimizer(tmp_path: Path) -> None:
    model = Toy()
    model.backbone.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    run = Trainer(model, losses_of(model), batches, options(), tmp_path, CPU)
    run.run()
    trained = {id(p) for group in run.optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for name, p in model.named_parameters() if not name.startswith("backbone.")}
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("backbone.")


def test_a_model_of_which_nothing_is_trained_is_an_error(tmp_path: Path) -> None:
    model = Toy().requires_grad_(False)
    with pytest.raises(UserError, match="no part of the model is trained"):
        Trainer(model, losses_of(model), batches, options(), tmp_path, CPU)


def test_the_backbone_learns_slower_and_vectors_do_not_decay() -> None:
    model = Toy()
    model.mask_refiner = torch.nn.ModuleDict({"trunk": torch.nn.Linear(3, 3)})
    model.mask_embedding = torch.nn.Linear(3, 3)  # a network, not an embedding
    model.query_trunk = torch.nn.Linear(3, 3)
    names = {id(p): name for name, p in model.named_parameters()}
    groups = parameter_groups(model, options())
    found = {names[id(p)]: (g["factor"], g.get("weight_decay")) for g in groups for p in g["params"]}
    slow = ("backbone", "word_head.trunk", "mask_refiner.trunk", "query_trunk")
    want = {f"{part}.weight": (0.1, None) for part in slow} | {f"{part}.bias": (0.1, 0.0) for part in slow}
    fast = ("word_head.mix", "head", "mask_embedding")
    want |= {f"{part}.weight": (1.0, None) for part in fast} | {f"{part}.bias": (1.0, 0.0) for part in fast}
    assert found == {**want, "query": (1.0, 0.0), "level_embed": (1.0, 0.0)}
    assert sum(len(group["params"]) for group in groups) == len(names)


def test_batches_that_are_accumulated_are_one_larger_batch(tmp_path: Path) -> None:
    """Three batches of four samples make the step of twelve, for losses that are means over samples."""

    def larger(start: int) -> Generator[dict[str, Any], None, None]:
        given = batches(3 * start)
        while True:
            yield {"x": torch.cat([next(given)["x"] for _ in range(3)])}

    model = Toy()
    whole = Trainer(model, losses_of(model), larger, options(), tmp_path / "whole", CPU)
    parts = trainer(tmp_path / "parts", options(accumulate=3))
    for run in (whole, parts):
        run.out.mkdir(exist_ok=True)
        run.run()
        assert run.step_number == 6
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], value, atol=1e-6, rtol=1e-5)
        assert not torch.equal(value, Toy().state_dict()[name])
    logs = [json.loads((run.out / "log.jsonl").read_text().splitlines()[-1]) for run in (whole, parts)]
    assert logs[0]["square"] == pytest.approx(logs[1]["square"], rel=1e-4)
    assert logs[0]["gradient_norm"] == pytest.approx(logs[1]["gradient_norm"], rel=1e-4)


def test_an_accumulating_run_goes_on_with_the_batches_that_it_has_not_taken(tmp_path: Path) -> None:
    taken: list[int] = []

    def counted(start: int) -> Generator[dict[str, Any], None, None]:
        for number, batch in enumerate(batches(start), start):
            taken.append(number)
            yield batch

    for steps in (2, 3):
        model = Toy()
        Trainer(model, losses_of(model), counted, options(steps, accumulate=2), tmp_path, CPU).run()
    assert taken == [0, 1, 2, 3, 4, 5]


def test_processes_meet_once_for_all_batches_of_a_step(tmp_path: Path) -> None:
    run, alone = trainer(tmp_path, options(accumulate=3)), []
    whole = run.forward

    class Joined(nn.Module):
        @contextmanager
        def no_sync(self) -> Iterator[None]:
            alone.append(True)
            yield
            alone.append(False)

        def forward(self, *given: Any) -> Any:
            alone.append("forward")
            return whole(*given)

    run.forward, run.world = Joined(), 2
    given = batches(0)
    run.gradients([next(given) for _ in range(3)], 0.0)
    assert alone == [True, "forward", False, True, "forward", False, "forward"]


def test_a_step_is_told_how_many_were_taken_before(tmp_path: Path) -> None:
    """Of all batches that make it, and after a stop it goes on counting."""
    seen: list[int] = []

    def watched(model: nn.Module) -> Step:
        plain = losses_of(model)

        def step(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
            seen.append(batch["step"])
            return plain(batch, kept)

        return step

    for steps in (2, 3):
        model = Toy()
        Trainer(model, watched(model), batches, options(steps, accumulate=2), tmp_path, CPU).run()
    assert seen == [0, 0, 1, 1, 2, 2]
