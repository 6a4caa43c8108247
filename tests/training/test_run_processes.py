"""What a run makes of the machine: its device, its number formats and the group of its processes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.run_overrides import overrides
from univs.claim import claim_folder
from univs.configuration import compose
from univs.data.clips import TrainingClips
from univs.errors import UserError
from univs.models.univs import UniVS
from univs.training import run

CPU = torch.device("cpu")


def test_a_gpu_may_use_tf32_and_searches_for_no_convolutions() -> None:
    """The search takes most of a minute at the first step, and no step was faster for it."""
    before = torch.get_float32_matmul_precision()
    try:
        run.prepare_gpu()
        assert torch.get_float32_matmul_precision() == "high" and not torch.backends.cudnn.benchmark
    finally:
        torch.set_float32_matmul_precision(before)


def test_denormal_numbers_count_as_zero_in_a_cpu_run() -> None:
    tiny = torch.tensor([1e-30])
    try:
        run.prepare_cpu()
        assert float(tiny * 1e-10) == 0
    finally:
        torch.set_flush_denormal(False)
    assert float(tiny * 1e-10) > 0


@pytest.mark.parametrize(
    ("chosen", "local", "want"), [("cpu", None, "cpu"), ("cuda", "3", "cuda:3"), ("cuda", None, "cuda:0")]
)
def test_each_process_has_its_own_gpu(
    monkeypatch: pytest.MonkeyPatch, chosen: str, local: str | None, want: str
) -> None:
    monkeypatch.setattr(run, "choose_device", lambda name: chosen)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local is not None:
        monkeypatch.setenv("LOCAL_RANK", local)
    assert str(run.device_of_this_process("auto")) == want


@pytest.mark.parametrize(("rank", "device", "backend"), [(0, "cpu", "gloo"), (1, "cpu", "gloo"), (1, "cuda", "nccl")])
def test_one_of_several_processes(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int, device: str, backend: str
) -> None:
    """The group is made and unmade, and the first process alone claims the folder."""
    called: list[Any] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setattr(run, "device_of_this_process", lambda name: torch.device(device))
    monkeypatch.setattr(run, "prepare_gpu", lambda: called.append("gpu"))
    monkeypatch.setattr(torch.cuda, "set_device", lambda chosen: called.append(chosen))
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda kind: called.append(kind))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: called.append("end"))
    monkeypatch.setattr(run, "train", lambda settings, device, rank, world: called.append((rank, world)))
    try:
        run.main(overrides(photos, tmp_path / "out"))
    finally:
        torch.set_flush_denormal(False)
    on_gpu = [backend, torch.device(device)] if device == "cuda" else [backend]
    assert called == [*(["gpu"] if device == "cuda" else []), *on_gpu, (rank, 2), "end"]
    claimed = (tmp_path / "out").exists()
    assert not claimed or rank == 0


def test_without_torchrun_there_is_no_group(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda kind: called.append(kind))

    def train(settings: Any, device: torch.device, rank: int, world: int) -> None:
        called.append((device, rank, world, float(torch.tensor([1e-30]) * 1e-10)))
        with pytest.raises(UserError, match="out="), claim_folder(tmp_path / "out", "out="):
            pass  # another run in the same folder

    monkeypatch.setattr(run, "train", train)
    try:
        run.main(overrides(photos, tmp_path / "out"))
    finally:
        torch.set_flush_denormal(False)
    assert called == [(CPU, 0, 1, 0.0)]


@pytest.mark.parametrize("stage", ["clip", "propagation_videos", "fusion", "rvos_one_shot"])
def test_every_step_counts_with_all_processes(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_model: UniVS, stage: str
) -> None:
    """And the data is drawn for as many samples as all of them take at once."""
    monkeypatch.setattr(run.zoo, "build_model", lambda numbers: small_model)
    for name in ("build_space_time", "build_rvos"):
        monkeypatch.setattr(run, name, lambda settings: nn.Linear(1, 1))
    monkeypatch.setattr(run, "build_fusion", lambda settings: (nn.Linear(1, 1), nn.Linear(1, 1)))
    own = [] if stage == "clip" else ["stage.probabilities={photo: 1, video: 0, synth: 0}", "stage.frames=3"]
    given = compose("train", [*overrides(photos, tmp_path / "out"), f"stage={stage}", "stage.batch_size=5", *own])
    made = run.prepare(given, CPU, 3)
    step: Any = made.step
    counts = [step.counting, step.frames.counting, step.supervisor.counting] if stage == "clip" else [step.counting]
    assert [counting.processes for counting in counts] == [3] * len(counts)
    assert isinstance(made.data, TrainingClips) and made.data.settings.together == 3 * 5


class Done:
    """A trainer that has nothing left to do."""

    step_number, stopped = 7, False

    def __init__(self, model: nn.Module, *given: object) -> None:
        self.average = SimpleNamespace(values=model.state_dict())

    def run(self) -> None:
        pass


def test_each_process_takes_batches_of_its_own_and_the_first_one_alone_writes_the_weights(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_model: UniVS
) -> None:
    asked, written = list[tuple[int, ...]](), list[Path]()
    monkeypatch.setattr(run.zoo, "build_model", lambda numbers: small_model)
    monkeypatch.setattr(run, "Trainer", Done)
    monkeypatch.setattr(run, "batches", lambda data, *given: asked.append(given[:4]))
    monkeypatch.setattr(run, "save", lambda model, path, numbers: written.append(path))
    given = compose("train", overrides(photos, tmp_path / "out"))
    for rank in (1, 0):
        assert not written
        run.train(given, CPU, rank, 2)
    assert asked == [(2, 0, 1, 2), (2, 0, 0, 2)] and written == [tmp_path / "out" / "tiny.safetensors"]


def test_a_wrong_setting_is_said_before_anything_is_made(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stage.size"):
        run.main(overrides(photos, tmp_path / "out", "stage.size=7"))
    assert not (tmp_path / "out").exists()
