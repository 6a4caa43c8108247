"""Who answers which videos, on which device."""

from __future__ import annotations

import pytest
import torch

from univs.errors import UserError
from univs.evaluation.run import sharding
from univs.evaluation.run.sharding import World, deal


def test_deal_is_longest_first_to_the_least_loaded() -> None:
    assert deal([3, 9, 4, 4, 1], 1) == [[1, 2, 3, 0, 4]]
    assert deal([3, 9, 4, 4, 1], 2) == [[1, 4], [2, 3, 0]]
    assert deal([5], 3) == [[0], [], []]


def test_world_is_what_torchrun_says() -> None:
    assert World.from_environment({}) == World(0, 1, 0)
    assert World.from_environment({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}) == World(3, 4, 1)
    assert World.from_environment({"RANK": "3", "WORLD_SIZE": "4"}) == World(3, 4, 3)
    for wrong in ({"RANK": "4", "WORLD_SIZE": "4"}, {"RANK": "x"}, {"RANK": "-1", "WORLD_SIZE": "4"}):
        with pytest.raises(UserError, match="RANK"):
            World.from_environment(wrong)


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "choose_device", lambda name: "cuda" if name == "auto" else name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [World(rank, 4, rank).device("auto") for rank in range(4)] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert World().device("auto") == "cuda" and World(1, 4, 1).device("cpu") == "cpu"
