"""A trainer of a toy model, and runs of it compared."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from univs.training.schedule import Budget
from univs.training.trainer import Trainer, TrainerOptions

Step = Callable[[dict[str, Any], float], dict[str, Tensor]]
CPU = torch.device("cpu")


class Toy(nn.Module):
    """What a model has as far as the trainer is concerned."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Linear(3, 3)
        self.word_head = nn.ModuleDict({"trunk": nn.Linear(3, 3), "mix": nn.Linear(3, 3)})
        self.query = nn.Parameter(torch.randn(2, 3))
        self.level_embed = nn.Parameter(torch.randn(2, 3))
        self.head = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.word_head["mix"](self.word_head["trunk"](self.backbone(x))).tanh()
        return self.head(x + self.query.sum(0) + self.level_embed.mean(0))


def options(steps: int = 6, **changed: Any) -> TrainerOptions:
    return replace(
        TrainerOptions(
            budget=Budget(steps=steps),
            learning_rate=1e-2,
            backbone_factor=0.1,
            final_factor=0.2,
            warmup=2,
            weight_decay=0.1,
            clip_norm=1.0,
            ema_decay=0.9,
            kept_share=0.5,
            kept_share_start=0.9,
            precision="float32",
            save_minutes=60,
        ),
        **changed,
    )


def batches(start: int) -> Generator[dict[str, Any], None, None]:
    for i in itertools.count(start):
        yield {"x": torch.randn(4, 3, generator=torch.Generator().manual_seed(i))}


def losses_of(model: nn.Module) -> Step:
    def step(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        answer = model(batch["x"])
        return {"square": (answer - 1).square().mean() * kept, "size": 0.3 * answer.abs().mean()}

    return step


def trainer(out: Path, given: TrainerOptions | None = None, step: Step | None = None) -> Trainer:
    model = Toy()
    out.mkdir(exist_ok=True)
    return Trainer(model, step or losses_of(model), batches, given or options(), out, CPU)


def snapshot(run: Trainer) -> dict[str, Any]:
    return copy.deepcopy(
        {"model": run.model.state_dict(), "optimizer": run.optimizer.state_dict(), "average": run.average.state_dict()}
    )


def assert_same(one: Any, other: Any) -> None:
    """To the bit, through all containers."""
    if isinstance(one, Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other
