"""The zip file for a server holds what it wants; whatever it would refuse is found before it is sent."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.run.oracle import export
from tests.evaluation.run.test_oracle import examine
from univs.errors import UserError
from univs.evaluation.run.benchmark_run import Outcome
from univs.evaluation.run.server import Server, entries_of, masks_of_objects
from univs.formats import Recording, RecordingSet


def names_in(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return sorted(archive.namelist())


def changed(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A copy of a zip file with other members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    copy = path.with_name("changed.zip")
    with zipfile.ZipFile(copy, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return copy


def refusal(outcome: Outcome, change: Callable[[dict[str, bytes]], None]) -> str:
    server = outcome.job.benchmark.server
    with pytest.raises(UserError) as caught:
        server.check(changed(outcome.submission, change), outcome.job.data, outcome.job.recordings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "split", "pattern"),
    [
        ("ytvos18", "valid", "Annotations/{video}/{frame}.png"),
        ("ytvos19", "test", "Annotations/{video}/{frame}.png"),
        ("mose", "valid", "{video}/{frame}.png"),
        ("davis17", "test-dev", "{video}/{frame}.png"),
        ("ref_ytvos", "valid", "Annotations/{video}/{key}/{frame}.png"),
    ],
)
def test_pictures(name: str, split: str, pattern: str, tmp_path: Path) -> None:
    from univs.evaluation.run import benchmark_run
    from univs.evaluation.run.sharding import World

    root = export(name, tmp_path / "data", split=split)
    job = benchmark_run.find_job(name, root, split, None, tmp_path / "out")

    class Still:
        """Answers with object 1 in one corner."""

        def __init__(self) -> None:
            self.place = -1

        def push(self, frame: np.ndarray, prompts: object = ()) -> list[object]:
            self.place += 1
            labels = np.zeros(frame.shape[:2], np.uint8)
            labels[:5, :5] = 1
            return [result_of(self.place, labels)]

        def flush(self) -> list[object]:
            return []

    from rich.console import Console

    outcome = benchmark_run.answer(job, lambda *_: Still(), {}, World(), Console(file=io.StringIO()))
    assert outcome.submission == tmp_path / "out" / name / split / "submission.zip"
    expected = {
        pattern.format(video=recording.name, key=said.key if said else "", frame=frame.stem)
        for recording in job.recordings
        for said in (recording.expressions or (None,))
        for frame in recording.frames
    }
    assert set(names_in(outcome.submission)) == expected and len(expected) >= 8
    first = sorted(expected)[0]
    assert f"{first} is missing" in refusal(outcome, lambda members: members.pop(first) and None)
    assert "is not asked for" in refusal(outcome, lambda members: members.update({"other.png": b""}))
    blank = np.zeros((48, 80), np.uint8)
    assert "47x80" in refusal(outcome, lambda members: members.update({first: png(blank[:47])}))
    assert "holds 77" in refusal(outcome, lambda members: members.update({first: png(blank + 77)}))
    assert "RGB" in refusal(outcome, lambda members: members.update({first: png(np.zeros((48, 80, 3), np.uint8))}))
    assert "cannot be read" in refusal(outcome, lambda members: members.update({first: b"no picture"}))


def result_of(place: int, labels: np.ndarray) -> object:
    from univs.results import FrameResult

    return FrameResult(place, labels, (1,))


@pytest.mark.parametrize("name", ["ytvis21", "ovis"])
def test_results(name: str, tmp_path: Path) -> None:
    outcome = examine(name, export(name, tmp_path / "data"), tmp_path / "out")
    assert names_in(outcome.submission) == ["results.json"]
    with zipfile.ZipFile(outcome.submission) as archive:
        entries = json.loads(archive.read("results.json"))
        with archive.open("results.json") as file:
            assert list(entries_of(file)) == entries and entries
    assert {entry["video_id"] for entry in entries} == {recording.key for recording in outcome.job.recordings}

    def broken(**fields: object) -> str:
        lines = ",\n".join(json.dumps({**entries[0], **fields}) for _ in range(2))
        return refusal(outcome, lambda members: members.update({"results.json": f"[\n{lines}\n]\n".encode()}))

    assert "is of video 99" in broken(video_id=99)
    assert "category 9999" in broken(category_id=9999)
    assert "has 1 segmentations" in broken(segmentations=[None])
    assert "a mask of [3, 4]" in broken(segmentations=[{"size": [3, 4], "counts": "x"}] * 4)
    assert "score nan" in broken(score=float("nan"))


def test_what_the_server_would_not_take_gets_no_name(tmp_path: Path) -> None:
    """Nor does it take the place of the file of a run before."""
    for folder in ("frames", "pred/a"):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("RGB", (9, 6)).save(tmp_path / "frames" / "00000.png")
    recording = Recording("a", (tmp_path / "frames" / "00000.png",), shown={1: 0})
    data, path = RecordingSet("mose", "valid", tmp_path, [recording]), tmp_path / "submission.zip"
    for value, taken in ((1, True), (5, False)):
        Image.fromarray(np.full((6, 9), value, np.uint8)).save(tmp_path / "pred" / "a" / "00000.png")
        if taken:
            Server(("valid",), masks_of_objects).submission(path, tmp_path / "pred", data, [recording])
            before = path.read_bytes()
        else:
            with pytest.raises(UserError, match="holds 5, which is no object of the video"):
                Server(("valid",), masks_of_objects).submission(path, tmp_path / "pred", data, [recording])
    assert path.read_bytes() == before and names_in(path) == ["a/00000.png"]
