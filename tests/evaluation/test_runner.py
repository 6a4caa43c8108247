"""The run over a data set, with sessions whose answers are known beforehand."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from univs import cli
from univs.configuration import compose
from univs.errors import UserError
from univs.evaluation import runner
from univs.evaluation.records import SequenceRecord, Summary, results_table
from univs.evaluation.runner import find_sequences, main, run, run_sequence
from univs.models import zoo
from univs.prompts import Mask
from univs.results import FrameResult

HEIGHT, WIDTH = 40, 64


class CopyFirstMask:
    """Answers every frame with the masks given on the first one, and counts what it is asked."""

    frames = 0

    def __init__(self) -> None:
        self.labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        self.index = -1

    def step(self, frame: np.ndarray, prompts: Sequence[Mask] = ()) -> FrameResult:
        assert frame.shape == (HEIGHT, WIDTH, 3)
        for prompt in prompts:
            self.labels[prompt.mask] = prompt.object_id
        self.index += 1
        CopyFirstMask.frames += 1
        return FrameResult(self.index, self.labels.copy(), tuple(np.unique(self.labels)[1:]), {})


def write_sequence(root: Path, name: str, count: int, second_object: bool = False, binary: bool = False) -> None:
    """A square of 10 x 10 that moves 5 pixels a frame, and perhaps a second one that rests."""
    for kind in ("JPEGImages", "Annotations"):
        (root / kind / name).mkdir(parents=True)
    for index in range(count):
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        labels[5:15, 5 * index : 5 * index + 10] = 255 if binary else 1
        if second_object:
            labels[25:35, 10:20] = 2
        Image.fromarray(labels).save(root / "Annotations" / name / f"{index:05d}.png")
        Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(root / "JPEGImages" / name / f"{index:05d}.jpg")


def settings(dataset: str, max_frames: int | None = None) -> dict[str, object]:
    return {"dataset": dataset, "max_frames": max_frames}


def test_figures_of_a_sequence(tmp_path: Path) -> None:
    write_sequence(tmp_path, "pair", 4, second_object=True)
    (sequence,) = find_sequences("davis_folder", {"root": str(tmp_path)})
    record = run_sequence(sequence, CopyFirstMask(), merge=False)
    assert list(record.scores) == [1, 2]
    assert record.scores[2].j_and_f == 1.0
    # 5 pixels on: 50 of 150; 10 pixels on: nothing. First and last frame are not evaluated.
    assert record.scores[1].jaccards[1:3] == pytest.approx((1 / 3, 0.0))
    merged = run_sequence(sequence, CopyFirstMask(), merge=True)
    assert merged.scores[1].jaccards[1] == pytest.approx(150 / 250)


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    write_sequence(root, "long", 6, binary=True)
    write_sequence(root, "short", 3, binary=True)
    found = find_sequences("davis2016", {"root": str(root)})
    console = Console(file=io.StringIO(), width=200)

    def go(used: dict[str, object]) -> tuple[list[SequenceRecord], int]:
        before = CopyFirstMask.frames
        records = run(found, CopyFirstMask, used, out, False, console)
        return records, CopyFirstMask.frames - before

    first, frames = go(settings("davis2016"))
    assert frames == 9 and [record.name for record in first] == ["set/long", "set/short"]
    assert console.file.getvalue().index("set/long") < console.file.getvalue().index("set/short")  # longest first
    (out / "sequences" / "set" / "short.json").write_text('{"name": "half a fi')
    second, frames = go(settings("davis2016"))
    assert frames == 3
    assert [record.scores for record in second][0].keys() == {1}
    assert Summary.of(second) == Summary.of(first)
    third, frames = go(settings("davis2016", max_frames=3))  # other settings: nothing is taken over
    assert frames == 6 and all(record.num_frames == 3 for record in third)


@pytest.mark.parametrize("file", ["JPEGImages/short/00001.jpg", "Annotations/short/00002.png"])
def test_cut_files_are_found_before_the_first_frame_is_answered(file: str, tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    write_sequence(root, "long", 6)
    write_sequence(root, "short", 3)
    whole = (root / file).read_bytes()
    (root / file).write_bytes(whole[: len(whole) // 2])
    found = find_sequences("davis_folder", {"root": str(root)})
    before = CopyFirstMask.frames

    def go(used: dict[str, object]) -> list[SequenceRecord]:
        return run(found, CopyFirstMask, used, out, False, Console(file=io.StringIO()))

    with pytest.raises(UserError, match=file):
        go(settings("davis_folder"))
    assert CopyFirstMask.frames == before and not out.exists()
    assert len(go(settings("davis_folder", max_frames=1))) == 2, "frames that are not asked about may be broken"
    (root / file).write_bytes(whole)
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(root / "Annotations" / "short" / "00001.png")
    with pytest.raises(UserError, match="Annotations/short/00001.png is 5x5 pixels, its image is"):
        go(settings("davis_folder"))


def test_masks_are_written(tmp_path: Path) -> None:
    write_sequence(tmp_path / "set", "pair", 3, second_object=True)
    found = find_sequences("davis_folder", {"root": str(tmp_path / "set")})
    run(found, CopyFirstMask, settings("davis_folder"), tmp_path / "out", True, Console(file=io.StringIO()))
    with Image.open(tmp_path / "out" / "masks" / "set" / "pair" / "00002.png") as image:
        assert image.mode == "P" and image.getpixel((12, 30)) == 2 and image.getpixel((0, 0)) == 0


def test_means_are_over_objects(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_sequence(root, "pair", 4, second_object=True)
    write_sequence(root, "one", 4)
    found = find_sequences("davis_folder", {"root": str(root)})
    records = run(found, CopyFirstMask, settings("davis_folder"), tmp_path / "out", False, Console(file=io.StringIO()))
    moving = (1 / 3 + 0) / 2
    assert Summary.of(records).j == pytest.approx(100 * (moving + moving + 1) / 3)
    shown = io.StringIO()
    Console(file=shown, width=120).print(results_table(records, "title"))
    assert "mean over objects" in shown.getvalue() and f"{Summary.of(records).j:.1f}" in shown.getvalue()


def test_sequences_are_found(tmp_path: Path) -> None:
    for source, name in (("a", "x"), ("a", "y"), ("b", "x")):
        write_sequence(tmp_path / source, name, 2)
    (tmp_path / "val.txt").write_text("# held out\na/x\n\nb/x\n")
    data = {"root": str(tmp_path), "list": str(tmp_path / "val.txt")}
    assert [s.name for s in find_sequences("davis_folder", {"root": str(tmp_path)})] == ["a/x", "a/y", "b/x"]
    assert [s.name for s in find_sequences("davis_folder", data)] == ["a/x", "b/x"]
    assert [s.name for s in find_sequences("davis_folder", data, ["b/x"])] == ["b/x"]
    with pytest.raises(UserError, match="no sequence y in the data set; there are a/x, b/x"):
        find_sequences("davis_folder", data, ["y"])
    with pytest.raises(UserError, match="2 sequences x"):
        find_sequences("davis_folder", data, ["x"])
    with pytest.raises(UserError, match="none.txt does not exist; expected names of sequences"):
        find_sequences("davis_folder", data | {"list": str(tmp_path / "none.txt")})


def test_bad_settings_are_named(tmp_path: Path) -> None:
    for overrides, message in (
        ([], "no value for data.root"),
        (["data.root=/nowhere"], "no folder /nowhere"),
        (["data.root=/nowhere", "dataset=davis"], "davis2016, davis_folder"),
        (["data.root=/nowhere", "sizes=3"], "sizes"),
        (["data.root=/nowhere", "+sizes=3"], "unknown setting sizes"),
        (["data.root=/nowhere", "+data.split=val"], "unknown setting data.split"),
        (["data.root"], "data.root"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            main(overrides)
        assert "\n" not in str(caught.value)


def test_a_sequence_without_a_first_object_has_no_scores(tmp_path: Path) -> None:
    write_sequence(tmp_path, "none", 3)
    for file in (tmp_path / "Annotations" / "none").iterdir():
        Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(file)
    (sequence,) = find_sequences("davis_folder", {"root": str(tmp_path)})
    record = run_sequence(sequence, CopyFirstMask(), merge=True)
    assert record.scores == {}
    record.write(tmp_path / "record.json", {})
    assert SequenceRecord.read(tmp_path / "record.json", {}) == record
    assert json.loads((tmp_path / "record.json").read_text())["objects"] == {}


def test_the_command_runs_a_model_and_goes_on_with_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "new.safetensors"
    numbers = compose("train", ["model=tiny", "data.root=-"])["model"]
    zoo.save(zoo.build_model(numbers), weights, numbers)
    write_sequence(tmp_path / "set", "pair", 3, second_object=True)
    command = ["evaluate", "dataset=davis_folder", f"data.root={tmp_path / 'set'}", f"weights={weights}", "size=null"]
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == 0
    summary = json.loads((tmp_path / "results" / "davis_folder" / "summary.json").read_text())
    assert summary["sequences"] == ["set/pair"] and 0 <= summary["j_and_f"] <= 100
    monkeypatch.setattr(runner, "run_sequence", lambda *_: pytest.fail("computed again"))
    assert cli.main(command) == 0
    assert cli.main([*command, "dataset=davis"]) == 2
