"""DAVIS-2016 and own folders: sessions whose answers are known beforehand."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from univs import cli
from univs.configuration import compose
from univs.errors import UserError
from univs.evaluation.run import running
from univs.evaluation.run.benchmark_run import Outcome, answer
from univs.evaluation.run.command import main
from univs.evaluation.run.interactive_sets import find_recordings
from univs.evaluation.run.report import report
from univs.evaluation.run.sharding import World
from univs.evaluation.run.video_folders import find_job, find_sequences
from univs.models import own_files, zoo
from univs.prompts import Box, Mask
from univs.results import FrameResult

HEIGHT, WIDTH = 40, 64


class CopyFirstMask:
    """Answers every frame with the masks given on the first one, and counts what it is asked."""

    frames = 0
    sizes: list[int] = []
    """Frames of the videos, in the order in which they were begun."""

    def __init__(self) -> None:
        self.labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        self.index = -1
        CopyFirstMask.sizes.append(0)

    def push(self, frame: np.ndarray, prompts: Sequence[Mask] = ()) -> list[FrameResult]:
        assert frame.shape == (HEIGHT, WIDTH, 3) and bool(prompts) == (self.index == -1)
        for prompt in prompts:
            self.labels[prompt.mask] = prompt.object_id
        self.index += 1
        CopyFirstMask.frames += 1
        CopyFirstMask.sizes[-1] += 1
        return [FrameResult(self.index, self.labels.copy(), tuple(np.unique(self.labels)[1:]), {})]

    def flush(self) -> list[FrameResult]:
        return []


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


def follow(dataset: str, root: Path, out: Path, max_frames: int | None = None, masks: bool = False) -> Outcome:
    job = find_job(dataset, {"root": str(root)}, None, max_frames, out, masks)
    outcome = answer(job, lambda *_: CopyFirstMask(), {}, World(), Console(file=io.StringIO()))
    assert outcome is not None
    return outcome


def figures_of(out: Path, name: str) -> Any:
    return json.loads((out / "sequences" / f"{name}.json").read_text())


def test_figures_of_a_sequence(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    write_sequence(root, "pair", 4, second_object=True)
    outcome = follow("davis_folder", root, out)
    figures = figures_of(out, "set/pair")
    assert list(figures) == ["1", "2"]
    # 5 pixels on: 50 of 150; 10 pixels on: nothing. First and last frame are not evaluated.
    assert figures["1"]["J"] == [None, pytest.approx(1 / 3), 0.0, None]
    assert figures["2"]["J"] == figures["2"]["F"] == [None, 1.0, 1.0, None]
    assert outcome.figures["J"] == pytest.approx(100 * (1 / 6 + 1) / 2)
    assert outcome.figures["J&F"] == pytest.approx((outcome.figures["J"] + outcome.figures["F"]) / 2)
    follow("davis2016", root, tmp_path / "merged")
    assert figures_of(tmp_path / "merged", "set/pair")["1"]["J"][1] == pytest.approx(150 / 250)


def test_objects_that_are_shown_are_scored_whatever_their_ids(tmp_path: Path) -> None:
    """One with the id 38; nobody asks for the one that comes later."""
    root, out = tmp_path / "set", tmp_path / "out"
    write_sequence(root, "one", 4)
    for index, path in enumerate(sorted((root / "Annotations" / "one").iterdir())):
        labels = np.array(Image.open(path)) * 38
        labels[25:35, 10:20] = 5 if index >= 2 else 0
        Image.fromarray(labels).save(path)
    outcome = follow("davis_folder", root, out)
    assert figures_of(out, "set/one") == {"38": {"J": [None, pytest.approx(1 / 3), 0.0, None], "F": ANY}}
    assert outcome.figures["J"] == pytest.approx(100 / 6)
    assert json.loads((out / "summary.json").read_text())["rows"]["set/one"]["objects"] == 1


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    write_sequence(root, "long", 6, binary=True)
    write_sequence(root, "short", 3, binary=True)

    def go(max_frames: int | None = None) -> tuple[Outcome, list[int]]:
        CopyFirstMask.sizes = []
        return follow("davis2016", root, out, max_frames), CopyFirstMask.sizes

    first, begun = go()
    assert begun == [6, 3], "longest first"
    assert [record.name for record in first.records] == ["set/long", "set/short"]
    for folder, text in (("sequences", '{"name": "half a fi'), ("videos", "[]"), ("videos", '{"settings": 3}')):
        (out / folder / "set" / "short.json").write_text(text)
        second, begun = go()
        assert begun == [3] and second.scores == first.scores
    (out / "sequences" / "set" / "long.json").unlink()
    assert go()[1] == [6]
    third, begun = go(max_frames=3)  # other settings: nothing is taken over
    assert begun == [3, 3] and all(record.num_frames == 3 for record in third.records)


def test_a_video_is_answered_anew_where_its_files_have_changed(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    write_sequence(root, "long", 6)
    write_sequence(root, "short", 4)

    def go() -> list[int]:
        CopyFirstMask.sizes = []
        follow("davis_folder", root, out)
        return CopyFirstMask.sizes

    assert go() == [6, 4] and go() == []
    before = figures_of(out, "set/short")["1"]["J"]
    first = (root / "Annotations" / "short" / "00000.png").read_bytes()
    for path in (root / "Annotations" / "short").iterdir():  # corrected: the object rests
        path.write_bytes(first)
    assert go() == [4], "the other one has not changed"
    assert figures_of(out, "set/short")["1"]["J"] == [None, 1.0, 1.0, None] != before
    for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
        frame = root / kind / "long" / f"00005.{suffix}"
        frame.with_stem("00006").write_bytes(frame.read_bytes())
    assert go() == [7] and go() == []
    (root / "JPEGImages" / "long" / "00006.jpg").touch()
    assert go() == [7]


@pytest.mark.parametrize("file", ["JPEGImages/short/00001.jpg", "Annotations/short/00002.png"])
def test_cut_files_are_found_before_the_first_frame_is_answered(file: str, tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    write_sequence(root, "long", 6)
    write_sequence(root, "short", 3)
    whole = (root / file).read_bytes()
    (root / file).write_bytes(whole[: len(whole) // 2])
    before = CopyFirstMask.frames
    with pytest.raises(UserError, match=file) as caught:
        follow("davis_folder", root, out)
    assert "univs datasets check" not in str(caught.value), "it knows public sets alone"
    assert CopyFirstMask.frames == before and not out.exists()
    assert len(follow("davis_folder", root, out, 1).records) == 2, "frames that are not asked about may be broken"
    (root / file).write_bytes(whole)
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(root / "Annotations" / "short" / "00001.png")
    with pytest.raises(UserError, match="Annotations/short/00001.png is 5x5 pixels, its image is 64x40"):
        follow("davis_folder", root, out)


def test_masks_are_written(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    write_sequence(root, "pair", 3, second_object=True)
    follow("davis_folder", root, out)
    assert not (out / "masks").exists()
    before = CopyFirstMask.frames
    follow("davis_folder", root, out, masks=True)
    assert CopyFirstMask.frames == before + 3, "the masks of the run before were not kept"
    with Image.open(out / "masks" / "set" / "pair" / "00002.png") as image:
        assert image.mode == "P" and image.getpixel((12, 30)) == 2 and image.getpixel((0, 0)) == 0
    follow("davis_folder", root, out, masks=True)
    assert CopyFirstMask.frames == before + 3


def test_means_are_over_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    write_sequence(root, "pair", 4, second_object=True)
    write_sequence(root, "one", 4)
    outcome = follow("davis_folder", root, out)
    moving = (1 / 3 + 0) / 2
    assert outcome.figures["J"] == pytest.approx(100 * (moving + moving + 1) / 3)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["sequences"] == ["set/one", "set/pair"] and summary["j"] == outcome.figures["J"]
    assert summary["j_recall"] == pytest.approx(100 / 3) and summary["videos"] == 2 and summary["frames"] == 8
    assert summary["j_and_f"] == pytest.approx((summary["j"] + summary["f"]) / 2)
    assert summary["j_decay"] == pytest.approx(100 * 2 / 3 * (1 / 3)) and summary["settings"]["max_frames"] is None
    capsys.readouterr()
    shown = Console(width=120)
    report(outcome, shown)
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row[1:5]] for row in rows] == [
        ["set/one", "1", "4", f"{summary['rows']['set/one']['j_and_f']:.1f}"],
        ["set/pair", "2", "4", f"{summary['rows']['set/pair']['j_and_f']:.1f}"],
        ["mean over objects", "3", "8", f"{summary['j_and_f']:.1f}"],
    ]


def test_unknown_pixels_are_background(tmp_path: Path) -> None:
    """255 beside other ids: neither an object that is shown nor one that is scored."""
    root = tmp_path / "set"
    write_sequence(root, "one", 3)
    for path in (root / "Annotations" / "one").iterdir():
        labels = np.array(Image.open(path))
        labels[30:35, 40:45] = 255
        Image.fromarray(labels).save(path)
    for dataset in ("davis2016", "davis_folder"):
        job = find_job(dataset, {"root": str(root)}, None, None, tmp_path / dataset)
        assert job.recordings[0].shown == {1: 0}
        outcome = follow(dataset, root, tmp_path / dataset)
        assert outcome.figures["J"] == pytest.approx(100 / 3)


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


def test_the_official_list_is_that_of_davis_2016_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_sequence(tmp_path / "set", name, 2)
    (tmp_path / "set" / "ImageSets" / "480p").mkdir(parents=True)
    (tmp_path / "set" / "ImageSets" / "480p" / "val.txt").write_text("b  # the one to score\n")
    data = {"root": str(tmp_path / "set")}
    assert [s.name for s in find_sequences("davis2016", data)] == ["set/b"]
    assert [s.name for s in find_sequences("davis_folder", data)] == ["set/a", "set/b"]
    with pytest.raises(UserError, match="JPEGImages"):
        find_sequences("davis2016", {"root": str(tmp_path)})


def test_the_list_of_davis_2016_in_a_download_of_2017(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for name in ("a", "b", "c"):
        write_sequence(root, name, 2)
    data = {"root": str(root)}
    assert len(find_sequences("davis2016", data)) == 3, "a copy without lists is taken whole"
    with pytest.raises(UserError, match=r"davis2016 train: list of sequences: no file .*ImageSets/480p/train\.txt"):
        find_sequences("davis2016", data, split="train")
    for year in ("2017", "2016"):
        (root / "ImageSets" / year).mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("a\nb\nc\n")
    with pytest.raises(UserError, match=r"set/ImageSets/480p/val\.txt \(nor ImageSets/2016/val\.txt"):
        find_sequences("davis2016", data)
    (root / "ImageSets" / "2016" / "val.txt").write_text("c\n")
    assert [s.name for s in find_sequences("davis2016", data)] == ["set/c"]
    (root / "ImageSets" / "2016" / "train.txt").write_text("a\nb\n")
    train = find_recordings("davis2016_interactive", {"root": str(root)}, "train", None, None)
    assert [s.name for s in train] == ["set/a", "set/b"]
    assert len(find_sequences("davis_folder", data)) == 3


def test_sequences_are_told_as_they_are_done(tmp_path: Path) -> None:
    root, shown = tmp_path / "set", io.StringIO()
    write_sequence(root, "rest", 4, second_object=True)
    for path in (root / "Annotations" / "rest").iterdir():
        labels = np.array(Image.open(path))
        Image.fromarray(np.where(labels == 2, labels, 0).astype(np.uint8)).save(path)
    job = find_job("davis_folder", {"root": str(root)}, None, None, tmp_path / "out")
    outcome = answer(job, lambda *_: CopyFirstMask(), {}, World(), Console(file=shown, width=200))
    (line,) = [line for line in shown.getvalue().splitlines() if "J&F" in line]
    assert line == f"set/rest: J&F 100.0, {outcome.records[0].speed:.2f} frames/s"


def test_objects_may_be_shown_by_boxes_and_clicks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A square is its own box; of a click one pixel in a hundred is answered."""
    root = tmp_path / "set"
    write_sequence(root, "pair", 3, second_object=True)

    class Literally(CopyFirstMask):
        def push(self, frame: np.ndarray, prompts: Sequence[Any] = ()) -> list[FrameResult]:
            masks = []
            for prompt in prompts:
                mask = np.zeros((HEIGHT, WIDTH), bool)
                if isinstance(prompt, Box):
                    x0, y0, x1, y1 = map(int, prompt.xyxy)
                    mask[y0:y1, x0:x1] = True
                else:
                    ((x, y),) = prompt.xy
                    mask[int(y), int(x)] = True
                masks.append(Mask(prompt.object_id, mask))
            return super().push(frame, masks)

    for prompt, iou in (("box", 100.0), ("point", 1.0)):
        job = find_job("davis_folder", {"root": str(root)}, None, None, tmp_path / "out", prompt=prompt)  # type: ignore[arg-type]
        outcome = answer(job, lambda *_: Literally(), {}, World(), Console(file=io.StringIO()))
        assert outcome is not None and outcome.first_ious == [iou / 100] * 2
        assert json.loads((tmp_path / "out" / "summary.json").read_text())["first_frame_iou"] == pytest.approx(iou)
        report(outcome, Console(width=120))
        assert f"an object is shown: {iou:.1f} (mean of 2 objects)" in capsys.readouterr().out


def test_j_and_f_are_apart(tmp_path: Path) -> None:
    """A mask that is 5 of 10 pixels off: a third of the union, but half of the outline is near."""
    root, out = tmp_path / "set", tmp_path / "out"
    write_sequence(root, "one", 3)
    figures = follow("davis_folder", root, out).figures
    kept = figures_of(out, "set/one")["1"]
    assert figures["J"] == pytest.approx(100 * kept["J"][1]) and figures["F"] == pytest.approx(100 * kept["F"][1])
    assert abs(figures["J"] - figures["F"]) > 5 and figures["J&F"] == pytest.approx((figures["J"] + figures["F"]) / 2)


def test_bad_settings_are_named(tmp_path: Path) -> None:
    for overrides, message in (
        ([], "no value for data.root"),
        (["data.root=/nowhere"], "no folder /nowhere"),
        (["data.root=/nowhere", "dataset=davis"], "davis2016, davis2016_interactive, davis_folder"),
        (["data.root=/nowhere", "sizes=3"], "sizes"),
        (["data.root=/nowhere", "+sizes=3"], "unknown setting sizes"),
        (["data.root=/nowhere", "+data.split=val"], "unknown setting data.split"),
        (["data.root"], "data.root"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            main(overrides)
        assert "\n" not in str(caught.value)


def test_a_sequence_without_a_first_object_has_no_scores(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    write_sequence(root, "none", 3)
    for file in (root / "Annotations" / "none").iterdir():
        Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(file)
    before = CopyFirstMask.frames
    outcome = follow("davis2016", root, out)
    assert CopyFirstMask.frames == before and figures_of(out, "set/none") == {}
    assert np.isnan(outcome.figures["J&F"]) and json.loads((out / "summary.json").read_text())["j"] is None


def test_the_command_runs_a_model_and_goes_on_with_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "new.safetensors"
    numbers = compose("train", ["model=tiny", "data.root=-"])["model"]
    own_files.save(zoo.build_model(numbers), weights, numbers)
    write_sequence(tmp_path / "set", "pair", 3, second_object=True)
    command = ["evaluate", "dataset=davis_folder", f"data.root={tmp_path / 'set'}", f"weights={weights}", "size=null"]
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == 0
    summary = json.loads((tmp_path / "results" / "davis_folder" / "summary.json").read_text())
    assert summary["sequences"] == ["set/pair"] and 0 <= summary["j_and_f"] <= 100
    monkeypatch.setattr(running, "run_video", lambda *_: pytest.fail("computed again"))
    assert cli.main(command) == 0
    assert cli.main([*command, "dataset=davis"]) == 2
