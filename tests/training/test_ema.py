"""The moving average of weights, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from univs.training.ema import WeightAverage


class Counted(nn.Module):
    """A weight, a float buffer and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("running", torch.zeros(1))
        self.register_buffer("count", torch.tensor(0))


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


def test_the_decay_rises_up_to_its_limit() -> None:
    model = Counted()
    average, want = WeightAverage(model, decay=0.25), 0.0
    for number in range(1, 7):
        model.weight.data.fill_(number)
        average.update(model)
        decay = min(0.25, (1 + number) / (10 + number))
        want = decay * want + (1 - decay) * number
        assert average.values["weight"].tolist() == pytest.approx([want, want], rel=1e-6)
    assert WeightAverage(model).decay == 0.998


def test_buffers_are_averaged_and_counters_copied() -> None:
    model = Counted()
    average = WeightAverage(model)
    model.running.fill_(11)
    model.count.fill_(5)
    average.update(model)
    assert float(average.values["running"]) == pytest.approx(9) and int(average.values["count"]) == 5
    assert float(model.running) == 11, "the model is left as it is"


def test_the_average_starts_as_a_copy() -> None:
    model = Counted()
    average = WeightAverage(model)
    model.weight.data.fill_(3)
    assert average.values["weight"].tolist() == [0, 0] and not average.values["weight"].requires_grad


def test_a_restored_average_goes_on_as_the_first_one() -> None:
    model = Counted()
    first, second = WeightAverage(model, 0.9), WeightAverage(model, 0.9)
    for number in range(3):
        model.weight.data.fill_(number)
        first.update(model)
    second.load_state_dict(first.state_dict())
    assert second.updates == 3
    model.weight.data.fill_(7)
    first.update(model)
    assert not torch.equal(first.values["weight"], second.values["weight"]), "no memory is shared"
    second.update(model)
    assert torch.equal(first.values["weight"], second.values["weight"])
