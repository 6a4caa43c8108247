"""`univs segment`: what the command hands on, and what it says of its time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from univs.cli import main
from univs.commands import extract, segment
from univs.commands.segment import Summary, segment_to_folder
from univs.models import zoo
from univs.prompts import Categories
from univs.results import FrameResult
from univs.video.reader import ArrayReader, Frame

SUMMARY = Summary(10, 4.0, 2.5, {3: 0.5}, {3: 8})


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the commands are told, in place of a run."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(zoo, "load", lambda weights, device: f"{Path(weights).stem} on {device}")
    monkeypatch.setattr(zoo, "load_univs", lambda weights, device: f"{Path(weights).stem} on {device}")

    def segmented(model: Any, reader: Any, prompts: Any, folder: Path, **options: Any) -> Summary:
        given.update(model=model, prompts=prompts, folder=folder, **options)
        return SUMMARY

    def extracted(model: Any, reader: Any, folder: Path, **options: Any) -> int:
        given.update(model=model, folder=folder, **options)
        return 3

    monkeypatch.setattr(segment, "segment_to_folder", segmented)
    monkeypatch.setattr(extract, "extract_to_folder", extracted)
    return given


def test_every_option_is_handed_on(
    frames: str, told: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ["--categories", "dog, cat", "--size", "64", "--precision", "bfloat16", "--compile", "--set", "most=3"]
    assert main(["segment", frames, *said, "--device", "cpu", "--no-overlay", "--out", str(tmp_path / "out")]) == 0
    wanted = {
        "model": "tiny on cpu", "prompts": {}, "folder": tmp_path / "out", "task": "vis", "size": 64,
        "categories": Categories(("dog", "cat")), "precision": "bfloat16", "compiled": True, "with_overlay": False,
        "title": "frames", "unfinished": False, "settings": {"most": 3},
    }  # fmt: skip
    assert told == wanted
    assert capsys.readouterr().out == f"10 frames in 4.0 s (2.5 a second): {tmp_path / 'out'}\n"


def test_what_is_taken_if_nothing_is_said(
    frames: str, told: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ["--box", "3@1:0,0,9,9", "--device", "cpu", "--json", "--out", str(tmp_path / "out")]
    assert main(["segment", frames, *said]) == 0
    assert (told["task"], told["size"], told["precision"], told["compiled"]) == ("vos", None, "float32", False)
    assert told["with_overlay"] and told["categories"] is None and list(told["prompts"]) == [1]
    objects = [{"object_id": 3, "score": 0.5, "visible_frames": 8}]
    figures = {"frames": 10, "seconds": 4.0, "model_seconds": 2.5, "objects": objects}
    assert json.loads(capsys.readouterr().out) == {"out": str(tmp_path / "out"), **figures}


def test_features_are_taken_at_the_size_that_is_asked_for(frames: str, told: dict[str, Any], tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert main(["extract", frames, "--out", out, "--size", "64", "--device", "cpu"]) == 0
    assert told == {"model": "tiny on cpu", "folder": tmp_path / "out", "size": 64}


def test_the_time_of_the_model_is_not_that_of_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three seconds for each answer, and ten in which it is looked at."""
    now = [0.0]

    def answers(model: Any, video: Iterator[Frame], prompts: Any, **options: Any) -> Iterator[FrameResult]:
        for index, frame in enumerate(video):
            now[0] += 3
            yield FrameResult(index, np.zeros(frame.shape[:2], np.uint8), ())

    monkeypatch.setattr("univs.streaming.session.segment", answers)
    monkeypatch.setattr(segment, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    reader = ArrayReader(np.zeros((4, 6, 8, 3), np.uint8))
    model: Any = None
    summary = segment_to_folder(
        model, reader, {}, tmp_path / "out", with_overlay=False, watch=lambda result: now.__setitem__(0, now[0] + 10)
    )
    assert (summary.frames, summary.model_seconds, summary.seconds) == (4, 12, 52)
    assert (summary.to_json()["model_seconds"], summary.to_json()["seconds"]) == (12, 52)
