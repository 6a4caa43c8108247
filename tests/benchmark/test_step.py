from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch

from univs.benchmark import step as benchmark
from univs.errors import UserError
from univs.models.univs import UniVS
from univs.models.zoo import build_model

CONFIG = {
    "name": "small",
    "pixel_mean": [127, 127, 127],
    "pixel_std": [128, 128, 128],
    "backbone": {"name": "tf_efficientnet_lite0", "channels_last": True},
    "pixel_decoder": {"kind": "light_fpn", "widths": [8, 8, 8, 8], "dim": 64, "mask_dim": 4},
    "visual_sampler": {"tokens": 4},
    "mask_decoder": {
        "dim": 64, "mask_dim": 4, "heads": 2, "ffn": 32, "layers": 1, "queries": 2, "text_dim": 8,
        "time": "none", "blank_tokens": "masked",
    },
    "dense_memory": {"key_dim": 4, "value_dim": 4, "local_key_dim": 4, "local_value_dim": 2, "widths": [8, 8, 8]},
    "streaming": {"clip_length": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> UniVS:
    torch.manual_seed(0)
    return build_model(CONFIG).eval()


def test_objects_move_and_are_labelled_where_they_are() -> None:
    frames = list(itertools.islice(benchmark.moving_frames(60, 80, 3), 40))
    assert all(set(np.unique(labels)) == {0, 1, 2, 3} for _, labels in frames)
    (first, first_labels), (last, last_labels) = frames[0], frames[-1]
    assert (first_labels != last_labels).any()
    ground = (first_labels == 0) & (last_labels == 0)
    assert (first[ground] == last[ground]).all() and (first != last).any()


def test_as_many_objects_as_label_maps_can_hold() -> None:
    _, labels = next(benchmark.moving_frames(240, 427, benchmark.a_number_of_objects("255")))
    assert (np.unique(labels) == np.arange(256)).all()


def test_the_clock_counts_what_it_wraps() -> None:
    clock = benchmark.PartsClock()
    slow = clock.wrap("slow", lambda seconds: time.sleep(seconds) or "done")
    assert slow(0.02) == slow(seconds=0.01) == "done"
    assert 0.03 <= clock.seconds["slow"] < 0.2


def test_parts_add_up_to_the_whole(model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "WARM_UP", 2)
    before = UniVS.encode_image
    timing = benchmark.measure(model, "vos", 32, 48, objects=2, frames=3)
    assert sum(timing.parts.values()) == pytest.approx(1) and min(timing.parts.values()) >= 0
    assert timing.total > 0 and timing.parts["image encoder"] > 0 and timing.parts["memory read"] > 0
    assert UniVS.encode_image is before
    table = benchmark.timing_table({((32, 48), 2): timing})
    assert table.row_count == 2 + len(timing.parts)


def test_the_table_of_a_timing_by_hand() -> None:
    table = benchmark.timing_table({((32, 48), 2): benchmark.Timing(0.04, {"image encoder": 0.75, "the rest": 0.25})})
    assert list(table.columns[0].cells)[:2] == ["frames a second", "milliseconds a frame"]
    assert list(table.columns[1].cells) == ["25.0", "40", "75%", "25%"]


def test_memory_is_watched_after_it_has_settled(model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter([100, 103, 101])
    monkeypatch.setattr(benchmark, "resident_bytes", lambda: next(seen))
    monkeypatch.setattr(benchmark, "FLAT_SETTLED", 2)
    assert benchmark.flatness(model, "vos", 32, 48, objects=1, frames=22) == (100, 103)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--objects", "0"],
        ["--objects", "256"],
        ["--frames", "none"],
        ["--task", "vox"],
        ["--size", "12"],
        ["--device", "gpu"],
        ["--device", "cuda:x"],
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[object] = []
    monkeypatch.setattr(torch, "set_num_threads", changed.append)
    monkeypatch.setattr(benchmark, "keep_freed_memory", lambda: changed.append("memory"))
    with pytest.raises(UserError) as error:
        benchmark.main(arguments)
    assert "\n" not in str(error.value) and not changed, "a process stays as it was"
