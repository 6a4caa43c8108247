"""Records of videos: what is kept of one, and which are of the run."""

from __future__ import annotations

import math
from pathlib import Path

from univs.evaluation.run.records import VideoRecord, of_other_runs


def test_speed_is_frames_by_seconds() -> None:
    assert VideoRecord("a", 10, 4.0).speed == 2.5
    assert math.isnan(VideoRecord("a", 0, 0.0).speed)


def test_a_record_is_of_its_settings(tmp_path: Path) -> None:
    path, record = tmp_path / "set" / "a.json", VideoRecord("set/a", 10, 4.0, {"1": 0.5})
    record.write(path, {"size": 480, "options": {"a": [1]}})
    assert VideoRecord.read(path, {"size": 480, "options": {"a": [1]}}) == record
    assert VideoRecord.read(path, {"size": 240, "options": {"a": [1]}}) is None
    assert VideoRecord.read(path, {"size": 480}) is None
    for text in (
        "",
        "[]",
        "3",
        '{"settings": {"size": 480}}',
        '{"settings": {"size": 480}, "name": "a", "num_frames": "x"}',
    ):
        path.write_text(text)
        assert VideoRecord.read(path, {"size": 480}) is None


def test_records_of_other_runs_are_counted(tmp_path: Path) -> None:
    for name in ("a", "set/b", "set/c", ".hidden"):
        VideoRecord(name, 1, 1.0).write(tmp_path / f"{name}.json", {})
    assert of_other_runs(tmp_path, ["a", "set/b", "set/c"]) == ""
    assert of_other_runs(tmp_path, ["a"]) == f"{tmp_path} also holds 2 of other runs, which no figure here counts"
    assert of_other_runs(tmp_path / "nowhere", ["a"]) == ""
