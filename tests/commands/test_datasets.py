"""`univs datasets` lists the sets and names what a download lacks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs import cli
from univs.data.synth import SynthVS
from univs.formats import SETS, find_set
from univs.formats.checking import SHOWN, check


def export(name: str, root: Path, split: str | None = None, frames: int = 3) -> Path:
    known = find_set(name)
    clips = SynthVS("val", (48, 80), frames, 1, 0.3, length=2)
    known.load().write((clips[0], clips[1]), root, split or known.splits[0], **known.options)
    return root


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["datasets"]) == 0
    printed = capsys.readouterr().out
    for name, known in SETS.items():
        assert name in printed and known.splits[0] in printed and known.source in printed


@pytest.mark.parametrize("name", SETS)
def test_a_whole_export_has_nothing_missing(name: str, tmp_path: Path) -> None:
    reports = {report.split: report for report in check(name, export(name, tmp_path))}
    first = SETS[name].splits[0]
    assert reports[first].there and reports[first].count == 0, reports[first].problems
    assert reports[first].videos >= 2 and reports[first].frames >= 6 and reports[first].annotated > 0
    assert list(reports) == list(SETS[name].splits)


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = export("ytvis21", tmp_path)
    video = root / "valid" / "JPEGImages" / "synth-val-1-00001"
    (video / "00000.jpg").write_bytes(b"no picture")
    (video / "00005.jpg").unlink()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(video / "00010.jpg")
    assert cli.main(["datasets", "check", "ytvis21", str(root), "--json"]) == 2
    printed = capsys.readouterr()
    found = {report["split"]: report for report in json.loads(printed.out)["splits"]}
    assert [found[split]["there"] for split in ("valid", "train", "test")] == [True, False, False]
    missing, broken, size = found["valid"]["problems"]
    assert missing == f"{video / '00005.jpg'} is missing"
    assert f"cannot read the picture {video / '00000.jpg'}" in broken
    assert size == f"the label map of {video / '00010.jpg'} is 80x48 pixels, its image is 30x20"
    assert (found["valid"]["videos"], found["valid"]["frames"], found["valid"]["count"]) == (2, 6, 3)
    assert len(printed.err.strip().splitlines()) == 1 and "3 things are missing" in printed.err


def test_twenty_are_shown_and_all_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = export("ytvis19", tmp_path, frames=15)
    for path in (root / "valid" / "JPEGImages").rglob("*.jpg"):
        path.unlink()
    (report, *_) = check("ytvis19", root, "valid")
    assert report.count == 30 and len(report.problems) == SHOWN
    assert cli.main(["datasets", "check", "ytvis19", str(root)]) == 2
    assert "and 10 more" in capsys.readouterr().out


def test_a_split_without_its_list_is_broken_and_not_absent(tmp_path: Path) -> None:
    root = export("davis17", tmp_path)
    assert [report.there for report in check("davis17", root)] == [True, False, False, False]
    (root / "ImageSets" / "2017" / "train.txt").write_text("nobody\n")
    reports = check("davis17", root)
    assert reports[1].there and reports[1].count == 1 and "nobody" in reports[1].problems[0]
    (root / "ImageSets" / "2017" / "val.txt").unlink()
    (report,) = check("davis17", root, "val")
    assert report.there and report.count == 1 and "val.txt" in report.problems[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vspv", "."], "did you mean vspw?"),
        (["vspw", "/nowhere"], "no folder /nowhere"),
        (["vspw", ".", "--split", "valid"], "no split 'valid'"),
        (["vspw"], "ROOT"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["datasets", "check", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1


def test_an_empty_folder_has_no_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["datasets", "check", "vspw", str(tmp_path)]) == 2
    assert "no split is in" in capsys.readouterr().err


def test_no_torch(tmp_path: Path) -> None:
    root = export("vspw", tmp_path)
    program = (
        f"import sys; from univs.cli import main; main(['datasets', 'check', 'vspw', {str(root)!r}]); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"


def test_a_frame_in_the_middle_that_is_cut_off_is_named(tmp_path: Path) -> None:
    root = export("davis17", tmp_path, frames=5)
    frames = root / "JPEGImages" / "480p" / "synth-val-1-00001"
    masks = root / "Annotations" / "480p" / "synth-val-1-00000"
    whole = (frames / "00002.jpg").read_bytes()
    (frames / "00002.jpg").write_bytes(whole[: len(whole) // 2])
    (frames / "00003.jpg").write_bytes(b"<html><body>404</body></html>")
    mask = (masks / "00001.png").read_bytes()
    (masks / "00001.png").write_bytes(mask[: len(mask) - 40])
    (masks / "00003.png").write_bytes(b"")
    (masks / "._00001.png").write_bytes(b"resource fork")
    report = check("davis17", root, "val")[0]
    assert report.count == 4 and report.videos == 2 and report.frames == report.annotated == 10
    named = [masks / "00001.png", masks / "00003.png", frames / "00002.jpg", frames / "00003.jpg"]
    assert all(str(path) in problem for path, problem in zip(named, report.problems, strict=True))


def test_frames_of_several_sizes_are_named(tmp_path: Path) -> None:
    root = export("ytvis21", tmp_path, frames=4)
    content = json.loads((root / "valid" / "instances.json").read_text())
    (root / "valid" / "instances.json").write_text(json.dumps({**content, "annotations": []}))
    path = root / "valid" / "JPEGImages" / "synth-val-1-00001" / "00010.jpg"
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)
    report = check("ytvis21", root, "valid")[0]
    assert report.problems == [f"{path} is 20x30 (height x width), the frames before it 48x80"]


@pytest.mark.parametrize(
    ("name", "file", "key"),
    [
        ("ytvis21", "valid/instances.json", "segmentations"),
        ("ovis", "annotations_valid.json", "segmentations"),
        ("coco", "annotations/instances_val2017.json", "segmentation"),
        ("lvis", "annotations/lvis_v1_val.json", "segmentation"),
        ("entityseg", "annotations/entityseg_panseg_val.json", "segmentation"),
        ("sa1b", "sa_000000/sa_1.json", "segmentation"),
    ],
)
@pytest.mark.parametrize(
    ("mask", "why"),
    [
        ({"size": [48, 80], "counts": "b'11'"}, "the compressed counts"),
        ({"size": [48, 80], "counts": ""}, "are empty"),
        ({"size": [48, 80], "counts": [1, 2]}, "add up to 3 pixels"),
        ({"size": [80, 48], "counts": [3840]}, "has the size 80 x 48; expected 48 x 80"),
        ([[1, 2, float("nan"), 5, 6, 7]], "no finite number"),
        ([[1, 2, 1e9, 5, 6, 7]], "far outside the frame"),
    ],
)
def test_broken_masks_of_json_are_named(name: str, file: str, key: str, mask: object, why: str, tmp_path: Path) -> None:
    root = export(name, tmp_path)
    content = json.loads((root / file).read_text())
    row = content["annotations"][0]
    if key == "segmentations":
        row[key][1] = mask
    else:
        row[key] = mask
    (root / file).write_text("\ufeff" + json.dumps(content))
    report = check(name, root, SETS[name].splits[0])[0]
    assert report.count == 1 and str(root / file) in report.problems[0] and why in report.problems[0]


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("burst", ("annotations/val/all_classes.json",)),
        ("kitti_mots", ("instances_txt/0002.txt",)),
        ("ref_ytvos", ("meta_expressions/valid/mask_dict.json",)),
    ],
)
def test_broken_masks_of_other_files_are_named(name: str, files: tuple[str, ...], tmp_path: Path) -> None:
    root = export(name, tmp_path)
    path = root / files[0]
    text = path.read_text()
    if name == "kitti_mots":
        line = text.splitlines()[0]
        path.write_text(text.replace(line, line.rsplit(" ", 1)[0] + " b'11'"))
    else:
        content = json.loads(text)
        if name == "burst":
            frame = next(frame for frame in content["sequences"][0]["segmentations"] if frame)
            next(iter(frame.values()))["rle"] = "b'11'"
        else:
            tube = next(tube for tube in content.values() if any(tube))
            tube[next(k for k, mask in enumerate(tube) if mask)]["counts"] = "b'11'"
        path.write_text(json.dumps(content))
    report = check(name, root, SETS[name].splits[0])[0]
    assert report.count == 1 and str(path) in report.problems[0] and "compressed counts" in report.problems[0]
