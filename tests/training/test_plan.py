"""What a dry run says, and that it does nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.toy_run import Toy, options
from univs.cli import main
from univs.configuration import compose
from univs.data.source_settings import SourceCount
from univs.models.univs import UniVS
from univs.terminal import plain_console
from univs.training import plan, run
from univs.training.checkpoint import save_checkpoint
from univs.training.schedule import Budget

CPU = torch.device("cpu")


def shown(table: Any) -> list[list[str]]:
    """The cells of the rows of a table."""
    console = plain_console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    rows = [line.strip("│").split("│") for line in console.export_text().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row] for row in rows]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    small_model: UniVS,
) -> None:
    monkeypatch.setattr(run.zoo, "build_model", lambda numbers: small_model)
    monkeypatch.setattr(run, "Trainer", None)
    given = [
        "data.root=-", f"data.sources=[{{kind: photos, root: {photos}}}]",
        "data.probabilities={photo: 3, video: 0, synth: 1}",
        "init=null", f"out={tmp_path / 'out'}", "device=cpu", "dry_run=true", "stage.batch_size=3", "stage.frames=2",
        "stage.size=64", "stage.accumulate=2", "stage.frozen_backbone=1", "stage.precision=float32",
    ]  # fmt: skip
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["train", *given]) == 0
    said = capsys.readouterr().out
    assert f"photos {photos}" in said and "75.0%" in said and "25.0%" in said
    assert "length: 60 minutes of training time, 50 steps of warm-up, then down to 0.02 of each rate" in said
    assert "a step: 6 samples (3 x 2 accumulated) of 2 frames, 64 x 64 pixels" in said
    assert "on: cpu, float32: as stage.precision says" in said
    assert "starts from: random weights" in said
    assert f"last.pt, log.jsonl, curves/ and tiny.safetensors in {tmp_path / 'out'}" in said
    assert not (tmp_path / "out").exists()


def test_parts_and_their_parameters() -> None:
    model = Toy()
    model.backbone.requires_grad_(False)
    assert shown(plan.parts_table("toy", model)) == [
        ["backbone", "0", "12"],
        ["word_head", "24", "0"],
        ["head", "4", "0"],
        ["all", "40", "12"],
    ]


def test_shares_of_sources() -> None:
    counts = [
        SourceCount("coco a", "photo", 1234, 1.0),
        SourceCount("photos b", "photo", 5, 3.0),
        SourceCount("photos c", "photo", 0, 0.0),
        SourceCount("videos d", "video", 7, 2.0),
    ]
    assert shown(plan.sources_table(counts, {"photo": 4.0, "video": 1.0, "synth": 5.0})) == [
        ["coco a", "1,234", "", "10.0%"],
        ["photos b", "5", "", "30.0%"],
        ["photos c", "0", "", "0.0%"],
        ["videos d", "", "7", "10.0%"],
        ["synth", "", "endless", "50.0%"],
    ]


def test_rates_are_those_of_the_optimizer() -> None:
    rows = shown(plan.rates_table(Toy(), options(learning_rate=0.01, backbone_factor=0.1, weight_decay=0.2)))
    assert sorted(rows) == [
        ["0.001", "0", "6"],
        ["0.001", "0.2", "18"],
        ["0.01", "0", "16"],
        ["0.01", "0.2", "12"],
    ]


def test_lines_of_a_run(tmp_path: Path) -> None:
    settings = compose("train", ["data.root=-", f"out={tmp_path}", "stage=words", "data=named_images"])
    lines = plan.run_lines(settings, options(budget=Budget(steps=9), warmup=2), CPU, 4)
    assert lines[0].startswith("length: 9 steps, 2 steps of warm-up")
    sizes = " or ".join(f"{side} x {side}" for side in (192, 256, 320, 384, 480))
    assert lines[1] == f"a step: 32 samples (8 x 4 processes) of 1 image, {sizes} pixels"
    assert plan.place_lines(settings)[0] == "starts from: imagenet"
    save_checkpoint(tmp_path / "last.pt", {"step": 17})
    assert plan.place_lines(settings)[0] == f"starts from: step 17 of {tmp_path / 'last.pt'}"


def test_memory_of_what_is_held_for_the_whole_run() -> None:
    model = Toy()
    model.backbone.requires_grad_(False)
    model.register_buffer("large", torch.zeros(2**20))
    said = plan.memory_line(model)
    assert said.startswith("memory: 8 MiB (parameters 4, averages 4, gradients 0, moments of the optimizer 0)")
