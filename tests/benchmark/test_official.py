"""The benchmark at released settings: what it counts, and that every task can be run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.streaming.conftest import small_model
from tests.trackers.clip.test_prompted import RELEASED
from univs import benchmark
from univs.benchmark import official, step
from univs.errors import UserError
from univs.models.univs import UniVS


def test_inner_calls_are_their_own_part_s(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def spend(seconds: float) -> None:
        nonlocal now
        now += seconds

    model: Any = UniVS  # its methods are replaced

    def decode(self: Any) -> None:
        spend(2)
        model.prompt_queries(self)
        spend(1)

    monkeypatch.setattr(step, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(UniVS, "decode", decode)
    monkeypatch.setattr(UniVS, "prompt_queries", lambda self: spend(5))
    clock = step.PartsClock()
    with clock.watching(official.PARTS):
        model.decode(None)
    assert clock.seconds["decoder"] == 3 and clock.seconds["prompt encoder"] == 5


def test_words_drawn_at_random_are_as_many_as_asked() -> None:
    words = official.RandomWords(7)
    features = words.encode(["a", "b", "c"])
    assert features.words.shape == (3, official.WORDS, 7) and features.word_mask.all()
    assert torch.equal(words.encode(["a", "b", "c"]).words, features.words)
    assert torch.allclose(words.encode_categories(["x", "y"]).norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("task", ["vos", "refvos", "vis", "vps", "vss", "pvos"])
def test_every_task_is_run(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"way": "clip", "clip_length": 2, "clip_stride": 1}
    extra = RELEASED if task in ("vos", "pvos") else {}
    model = small_model(dense_memory=None, text={"encoder": "none", "heads": 2}, streaming={**extra, **settings})
    monkeypatch.setattr(official, "random_model", lambda name: model)
    monkeypatch.setattr(official, "plain_pass", lambda height, width: 0.5)
    one = official.run(None, task, (64, 96), frames=4, clip_length=2, threads=torch.get_num_threads())
    assert len(one.seconds) == len(one.resident) == 4 and one.peak > max(one.resident) / 2
    assert sum(one.parts.values()) == pytest.approx(sum(one.seconds)) and one.parts["encoder"] > 0
    assert official.speed_table({task: one}, 4, 2).row_count == 3 + len(one.parts) + 3
    assert official.flat_table({task: one}, (64, 96), (2, 4)).row_count == 2
    if task in ("vos", "refvos"):
        assert one.followed == official.OBJECTS


def test_tables_of_a_run_by_hand() -> None:
    """Two frames of one and of three seconds; a pass of the ResNet-50 takes half a second."""
    one = official.Run((1.0, 3.0), {"encoder": 3.0, "assembly": 1.0}, (2**20, 3 * 2**20), 2**30, 0.5, 2)
    table = official.speed_table({"vos": one}, frames=2, clip_length=1)
    assert list(table.columns[0].cells)[:3] == ["ResNet-50 passes a frame", "seconds a frame", "frames a second"]
    assert list(table.columns[1].cells) == ["4.0", "2.00", "0.50", "3.00", "1.00", "1.00", "0.500", "2"]
    flat = official.flat_table({"vos": one}, (64, 96), (1, 2))
    assert [list(column.cells) for column in flat.columns[1:]] == [["1", "1000"], ["3", "2000"]]


def test_a_benchmark_is_chosen_by_its_name() -> None:
    for arguments in (["official", "--tasks", "vox"], ["official", "--clip", "0"], ["step", "--objects", "0"], ["vox"]):
        with pytest.raises(UserError) as error:
            benchmark.main(arguments)
        assert "\n" not in str(error.value)
