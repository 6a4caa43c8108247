"""What batch norms gather in steps that are stopped or left out."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.toy_run import CPU, assert_same, batches, losses_of, options, snapshot
from univs.training.trainer import Trainer


class Normed(nn.Module):
    """A toy whose batch norms learn; one of them does not, another gathers nothing."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head = nn.Linear(3, 3), nn.Linear(3, 1)
        self.norm, self.fixed = nn.BatchNorm1d(3), nn.BatchNorm1d(3).eval()
        self.bare = nn.BatchNorm1d(3, track_running_stats=False)

    def train(self, mode: bool = True) -> Normed:
        super().train(mode)
        self.fixed.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.bare(self.fixed(self.norm(self.first(x)))))


@pytest.mark.parametrize("part", [1, 2])
def test_a_step_that_was_stopped_leaves_no_trace_in_batch_norms(tmp_path: Path, part: int) -> None:
    """Its batches are taken in again when the run goes on."""
    whole, stopped = Normed(), Normed()
    given = options(6, accumulate=2)
    plain, calls = losses_of(stopped), itertools.count(1)

    def step(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        found = plain(batch, kept)
        if next(calls) == 4 + part:
            os.kill(os.getpid(), signal.SIGINT)
        return found

    run = Trainer(stopped, step, batches, given, tmp_path, CPU)
    run.run()
    assert run.stopped and run.step_number == 2 and int(stopped.norm.num_batches_tracked) == 4
    model = Normed()
    resumed = Trainer(model, losses_of(model), batches, given, tmp_path, CPU)
    resumed.run()
    other = Trainer(whole, losses_of(whole), batches, given, tmp_path / "whole", CPU)
    other.run()
    assert_same(snapshot(resumed), snapshot(other))
    assert int(model.norm.num_batches_tracked) == 12 and int(model.fixed.num_batches_tracked) == 0


def test_a_step_that_is_left_out_leaves_no_trace_in_batch_norms(tmp_path: Path) -> None:
    model = Normed()

    def endless(start: int) -> Generator[dict[str, Any], None, None]:
        for index, batch in enumerate(batches(start)):
            yield {**batch, "x": batch["x"] * float("inf")} if index == 2 else batch

    run = Trainer(model, losses_of(model), endless, options(5), tmp_path, CPU)
    run.run()
    assert run.step_number == 5 and run.average.updates == 4 and int(model.norm.num_batches_tracked) == 4
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())
    assert all(bool(value.isfinite().all()) for value in run.average.values.values())
