"""A model that is no UniVS goes the way of every other through the loop, the command and the benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2")

from tests.evaluation.run.test_runner import export
from tests.streaming.optical_flow import FlowModel
from univs import cli
from univs.benchmark.step import moving_frames
from univs.errors import UserError
from univs.prompts import Mask
from univs.streaming import Session, segment

FILM = [film for _, film in zip(range(8), moving_frames(192, 256, 2), strict=False)]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("univs.models.zoo.load", lambda *_, **__: FlowModel())


def overlap(mask: np.ndarray, wanted: np.ndarray) -> float:
    return float((mask & wanted).sum() / (mask | wanted).sum())


def test_the_proof_is_short(repository: Path) -> None:
    code = (repository / "tests/streaming/optical_flow.py").read_text().split("class FlowTracker")[1]
    assert code.count("\n") <= 60


def test_it_follows_through_a_session() -> None:
    frame, first = FILM[0]
    with Session(FlowModel(), preset="medium") as session:  # type: ignore[arg-type]
        session.step(frame, [Mask(1, first == 1)])
        for index, (frame, labels) in enumerate(FILM[1:], start=1):
            result = session.step(frame, [Mask(2, labels == 2)] if index == 3 else ())
            assert overlap(result.mask(1), labels == 1) > 0.78
            assert result.object_ids == ((1, 2) if index >= 3 else (1,))
        session.remove(1)
        assert session.object_ids == (2,)
        assert [track.object_id for track in session.finish().tracks] == [1, 2]


def test_its_settings_are_checked_as_any() -> None:
    with pytest.raises(UserError, match="the option preset must be fast or medium, not slow"):
        Session(FlowModel(), preset="slow")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="unknown option 'dense_frames'; known: preset"):
        Session(FlowModel(), dense_frames=3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="this model has no tracker for the task refvos"):
        Session(FlowModel(), "refvos")  # type: ignore[arg-type]
    assert len(list(segment(FlowModel(), [f for f, _ in FILM], [Mask(1, FILM[0][1] == 1)]))) == 8  # type: ignore[arg-type]


def test_it_answers_univs_segment(loaded: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "frames").mkdir()
    for index, (frame, labels) in enumerate(FILM):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{index:05}.png")
        Image.fromarray(labels * 1).save(tmp_path / f"{index}.png")
    asked = [str(tmp_path / "frames"), "--mask", str(tmp_path / "0.png"), "--set", "preset=medium"]
    assert cli.main(["segment", *asked, "--out", str(tmp_path / "out"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["frames"] == 8 and [one["object_id"] for one in summary["objects"]] == [1, 2]
    last = np.asarray(Image.open(sorted((tmp_path / "out").rglob("00007.png"))[0]))
    for number in (1, 2):
        first, wanted = (FILM[index][1] == number for index in (0, 7))
        assert overlap(last == number, wanted) > 0.78 > overlap(first, wanted)


def test_it_is_scored_by_univs_evaluate(loaded: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = export("davis17", tmp_path / "data", videos=1)
    assert cli.main(["evaluate", "dataset=davis17", f"data.root={root}", "size=null", f"out={tmp_path / 'out'}"]) == 0
    (path,) = (tmp_path / "out").rglob("summary.json")
    assert "J&F" in capsys.readouterr().out and json.loads(path.read_text())
