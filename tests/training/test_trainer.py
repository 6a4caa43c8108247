"""The trainer: resuming equals not stopping, averages, schedules, checkpoints without pickles."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from univs.errors import UserError
from univs.training.checkpoint import load_checkpoint, save_checkpoint
from univs.training.ema import WeightAverage
from univs.training.schedule import Budget, kept_share, learning_rate_factor
from univs.training.trainer import Trainer, TrainerOptions, parameter_groups


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Linear(3, 3)
        self.head = nn.Linear(3, 1)


def options(steps: int) -> TrainerOptions:
    return TrainerOptions(
        budget=Budget(steps=steps),
        learning_rate=1e-2,
        backbone_factor=0.1,
        final_factor=1.0,
        warmup=2,
        weight_decay=0.1,
        clip_norm=1.0,
        ema_decay=0.9,
        kept_share=1.0,
        kept_share_start=1.0,
        precision="float32",
        save_minutes=60,
    )


def batches(start: int) -> Iterator[dict[str, Tensor]]:
    for i in itertools.count(start):
        yield {"x": torch.randn(4, 3, generator=torch.Generator().manual_seed(i))}


def trainer(out: Path, steps: int) -> Trainer:
    model = Toy()
    out.mkdir(exist_ok=True)

    def step(batch: dict[str, Tensor], kept: float) -> dict[str, Tensor]:
        return {"square": (model.head(model.backbone(batch["x"])) - 1).square().mean() * kept}

    return Trainer(model, step, batches, options(steps), out, torch.device("cpu"))


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", 6)
    whole.run()
    trainer(tmp_path / "parts", 3).run()
    resumed = trainer(tmp_path / "parts", 6)
    assert resumed.step_number == 3
    resumed.run()
    for a, b in zip(whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    for name, value in whole.average.values.items():
        torch.testing.assert_close(value, resumed.average.values[name], rtol=0, atol=0)


def test_a_checkpoint_of_another_model_is_a_clear_error(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.pt", {"step": 1, "model": {"other": torch.zeros(1)}, "optimizer": {}})
    with pytest.raises(UserError, match="another model"):
        trainer(tmp_path, 3)


def test_a_checkpoint_is_never_half_written_and_never_a_pickle(tmp_path: Path) -> None:
    path = tmp_path / "run" / "last.pt"
    assert load_checkpoint(path) is None
    save_checkpoint(path, {"step": 3, "model": {"w": torch.ones(2)}})
    state = load_checkpoint(path)
    assert state is not None and state["step"] == 3
    assert [p.name for p in path.parent.iterdir()] == ["last.pt"]
    torch.save({"step": 1, "model": Toy()}, path)  # a pickled class
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_checkpoint(path)


def test_the_backbone_learns_slower_and_vectors_do_not_decay() -> None:
    groups = parameter_groups(Toy(), options(1))
    by_shape = {(tuple(p.shape), g["factor"]): g.get("weight_decay") for g in groups for p in g["params"]}
    assert by_shape == {((3, 3), 0.1): None, ((3,), 0.1): 0.0, ((1, 3), 1.0): None, ((1,), 1.0): 0.0}


def test_weight_average_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = WeightAverage(model, decay=0.5)
    nn.init.ones_(model.weight)
    average.update(model)  # decay (1 + 1) / (10 + 1)
    assert float(average.values["weight"]) == pytest.approx(9 / 11)
    for _ in range(20):
        average.update(model)
    assert float(average.values["weight"]) == pytest.approx(1, abs=1e-5)


def test_schedules() -> None:
    assert Budget(steps=10).progress(5, 1e9) == 0.5
    assert Budget(minutes=2).progress(999, 30) == 0.25
    with pytest.raises(ValueError, match="one of the two"):
        Budget(steps=1, minutes=1)
    assert learning_rate_factor(0, 0, warmup=10, final=0) == pytest.approx(0.1)
    assert learning_rate_factor(99, 0.5, warmup=10, final=0.2) == pytest.approx(0.6)
    assert learning_rate_factor(99, 1.0, warmup=10, final=0.2) == pytest.approx(0.2)
    assert (
        kept_share(0, 0.2) == 1
        and kept_share(0.3, 0.2) == pytest.approx(0.6)
        and kept_share(1, 0.2) == pytest.approx(0.2)
    )
