"""What writers of answers share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from univs.errors import UserError
from univs.formats import Recording, RecordingSet
from univs.formats.answer_writer import JsonAnswers, MaskFolders, atomic_folders


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


def test_answers_of_a_video_are_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """So a run that was interrupted answers the video anew, and a file of all videos stays as it was."""
    recordings = [Recording("a", ()), Recording("deep/b", ())]
    answers = JsonAnswers(tmp_path / "answers", "all.json")

    def broken() -> Iterator[dict[str, int]]:
        yield {"n": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answers.keep(recordings[0], broken())
    assert not answers.has(recordings[0]) and not any(path.is_file() for path in tmp_path.rglob("*"))
    for recording in recordings:
        answers.keep(recording, [{"n": 2}])
    answers.finish(recordings)
    with pytest.raises(KeyboardInterrupt):
        answers.keep(recordings[1], broken())
    assert answers.has(recordings[1])
    (tmp_path / "parts" / "a.jsonl").write_text('{"n": 3}\n{"n"')
    with pytest.raises(json.JSONDecodeError):
        answers.finish(recordings)
    assert json.loads(answers.pred.read_text()) == [{"n": 2}, {"n": 2}]


def test_names_of_videos_do_not_lead_out_of_the_folder_of_answers(tmp_path: Path) -> None:
    astray = Recording("../../elsewhere", (Path("0.jpg"),))
    with pytest.raises(UserError, match="leads out of"):
        JsonAnswers(tmp_path / "a" / "answers", "all.json").keep(astray, [])
    folders = MaskFolders(tmp_path / "a", RecordingSet("x", "val", tmp_path, [astray]))
    with pytest.raises(UserError, match="leads out of"), folders.writing(astray):
        pass
    assert not any(tmp_path.iterdir())
