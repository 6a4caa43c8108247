"""What writers of answers share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from univs.formats import Recording
from univs.formats.answer_writer import JsonAnswers, atomic_folders


def test_parts_are_read_one_by_one(tmp_path: Path) -> None:
    recordings = [Recording(f"video{number}", ()) for number in range(3)]
    answers = JsonAnswers(tmp_path / "answers", "all.json", '{"all": ', "}")
    for number, recording in enumerate(recordings):
        answers.keep(recording, [{"n": number}, {"n": 10 + number}])
    found = answers.entries(recordings)
    assert next(found) == {"n": 0}
    (tmp_path / "parts" / "video2.jsonl").unlink()  # not looked at yet
    assert [entry["n"] for _, entry in zip(range(3), found, strict=False)] == [10, 1, 11]
    with pytest.raises(FileNotFoundError):
        next(found)
    assert answers.has(recordings[0]) and not answers.has(recordings[2])
    answers.keep(recordings[2], [])
    answers.finish(recordings)
    assert json.loads(answers.pred.read_text()) == {"all": [{"n": 0}, {"n": 10}, {"n": 1}, {"n": 11}]}


def test_folders_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with atomic_folders([folder]) as (hidden,):
        (hidden / "old").touch()
    with pytest.raises(RuntimeError), atomic_folders([folder]) as (hidden,):
        (hidden / "half").touch()
        raise RuntimeError
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"] and (folder / "old").exists()
    with atomic_folders([folder]) as (hidden,):
        (hidden / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["new"]
