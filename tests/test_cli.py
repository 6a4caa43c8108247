from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs import training
from univs.cli import main
from univs.video import VideoWriter


def fails(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Run a command line that must end in status 2 and one line on stderr; return the line."""
    assert main(argv) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == "" and len(lines) == 1 and lines[0].startswith("univs: error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "vos"], "nothing to follow; give at least one --mask, --box, --point, --scribble or --text"),
        (["--task", "follow"], "unknown task 'follow'; known: "),
        (["--text", "a dog", "--task", "vos"], "a Text is not a visual prompt"),
        (["--box", "1@0:0,0,9,9", "--name", "1:sky", "--task", "vos"], "leave it out for vos"),
        (["--box", "1@0:0,0,9,9", "--name", "2:sky"], "--name '2:sky': object 2 is not shown"),
        (["--box", "1@0:0,0,9,9", "--name", "sky"], "--name 'sky' is not of the form ID:NAME"),
        (["--text", "?"], "the expression '?' holds no word"),
        (
            ["--categories", "dog, cat", "--box", "1@0:0,0,9,9"],
            "the task vos takes no categories; leave out --categories, or --task for vis",
        ),
        (["--task", "vps", "--box", "1@0:0,0,9,9"], "a Box is about one object; this task takes categories alone"),
        (["--categories", "ytvis12"], "unknown vocabulary 'ytvis12'; did you mean"),
        (["--box", "1@0:0,0,31,20"], "reaches outside the frame; x must be in 0..30"),
        (["--box", "1@0:0,0,3"], "--box '1@0:0,0,3' is not of the form ID@FRAME:x0,y0,x1,y1"),
        (["--box", "one@0:0,0,3,4"], "is not of the form"),
        (["--box", "0@0:0,0,3,4"], "object id 0 is not valid"),
        (["--box", "1@0:9,9,9,12"], "is empty"),
        (["--point", "1@0:30,5"], "lies outside the frame"),
        (["--point", "1@0:3,5:*"], "is not of the form ID@FRAME:x,y[:+|-]"),
        (["--point", "1@0:3,5:-"], "object 1 starts on frame 0 with negative points only"),
        (["--point", "1@3:3,5"], "there is a prompt on frame 3, but the video has 3 frames (0 to 2)"),
        (["--box", "65536@0:0,0,3,4"], "object id 65536 is not valid; ids are whole numbers from 1 to 65535"),
        (["--box", f"{'9' * 20}@0:0,0,3,4"], "ids are whole numbers from 1 to 65535"),
        (["--mask", "no.png"], "the mask no.png does not exist"),
        (["--scribble", "no.json"], "no.json does not exist"),
        (["--box", "1@0:0,0,9,9", "--weights", "no-such"], "unknown weights 'no-such'"),
        (["--box", "1@0:0,0,9,9", "--precision", "int8"], "unknown precision 'int8'; known: float32"),
        (["--box", "1@0:0,0,9,9", "--device", "abacus"], "invalid choice: 'abacus'"),
        (["--box", "1@0:0,0,9,9", "--size", "big"], "argument --size: 'big' is no number of pixels"),
        (["--box", "1@0:0,0,9,9", "--size", "-1"], "argument --size: '-1' is no number of pixels"),
        (["--box", "1@0:0,0,9,9", "--size", "48.5"], "argument --size: '48.5' is no number of pixels"),
        (["--box", "1@0:0,0,9,9", "--precision", "float16", "--device", "cpu"], "float16 is for GPUs; on a CPU"),
        (["--box", "1@0:0,0,9,9", "--weights", "no.pth"], "no weights file at no.pth"),
        (["--box", "1@0:0,0,9,9", "--out", "/proc/out"], "/proc/out"),
        (["--box", "1@0:0,0,9,9", "--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_bad_arguments(capsys: pytest.CaptureFixture[str], frames: str, arguments: list[str], words: str) -> None:
    assert words in fails(capsys, "segment", frames, *arguments)


def test_what_is_wrong_is_found_before_torch_is_imported(frames: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    box = ["--box", "1@0:0,0,9,9"]
    wrong = [
        ["no.mp4", *box],
        [frames, "--task", "vos"],
        [frames, "--box", "1@0:0,0,99,9"],
        [frames, "--box", "1@7:0,0,9,9"],
        [frames, "--mask", "no.png"],
        [frames, "--text", "a dog", "--task", "vos"],
        [frames, *box, "--task", "follow"],
        [frames, *box, "--categories", "dog"],
        [frames, *box, "--precision", "int8"],
        [frames, *box, "--weights", "no-such"],
        [frames, *box, "--weights", "no.pth"],
        [frames, *box, "--device", "abacus"],
        [frames, *box, "--size", "-1"],
        [frames, *box, "--out", str(tmp_path / "file")],
        [frames, *box, "--out", str(tmp_path / "file" / "out")],
    ]
    code = (
        f"import sys; from univs.cli import main\nfor words in {wrong!r}:\n"
        "    assert main(['segment', *words]) == 2 and 'torch' not in sys.modules, words\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("univs: error: ") for line in done.stderr.splitlines())
    assert len(done.stderr.splitlines()) == len(wrong)


def test_bad_videos(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("a text\nof two lines\n" * 50)
    (tmp_path / "empty").mkdir()
    box = ("--box", "1@0:0,0,3,4")
    assert "is not a video that can be read" in fails(capsys, "segment", str(tmp_path / "text.mp4"), *box)
    assert "does not exist" in fails(capsys, "segment", str(tmp_path / "no.mp4"), *box)
    assert "holds no frames" in fails(capsys, "segment", str(tmp_path / "empty"), *box)
    assert "there is no camera 987" in fails(capsys, "segment", "987", *box)


def test_the_video_in_a_folder_is_not_replaced_by_the_overlay(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with VideoWriter(tmp_path / "overlay.mp4", 5) as video:
        video.write(np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "shot").mkdir()
    (tmp_path / "shot" / "clip.mp4").symlink_to(tmp_path / "overlay.mp4")
    said = ["segment", str(tmp_path / "shot"), "--box", "1@0:0,0,9,9", "--out", str(tmp_path)]
    assert "would be replaced; name another --out" in fails(capsys, *said)


def test_a_mask_of_the_earlier_run_is_not_removed(
    capsys: pytest.CaptureFixture[str], frames: str, tmp_path: Path
) -> None:
    mask = tmp_path / "out" / "masks" / "00001.png"
    mask.parent.mkdir(parents=True)
    Image.new("L", (30, 20), 255).save(mask)
    said = ["segment", frames, "--mask", f"{mask}@1", "--out", str(tmp_path / "out")]
    (tmp_path / "out" / "results.json").write_text('[\n{"video_id": 1, "object_id": 1}\n]\n')
    assert "00001.png lies in the output folder" in fails(capsys, *said)
    (tmp_path / "out" / "results.json").write_text("[]")  # of somebody else: would be replaced itself
    assert "results.json is not of an earlier run" in fails(capsys, *said)
    assert mask.exists() and (tmp_path / "out" / "results.json").read_text() == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["datasets", "check", "davis17", "~nobody-x/d"], "no folder ~nobody-x/d"),
        (["datasets", "pack", "--out", "~nobody-x/d.zip", "data.root=x"], "no folder x/"),
        (["train", "data=~nobody-x/mine.yaml"], "~nobody-x/mine.yaml does not exist"),
        (["evaluate", "dataset=davis2016", "data.root=~nobody-x/d"], "~nobody-x/d"),
        (["evaluate", "dataset=davis_folder", "data.root=frames", "data.list=~nobody-x/l.txt"], "~nobody-x/l.txt"),
        (["evaluate", "dataset=davis17", "data.root=~nobody-x/d"], "no folder ~nobody-x/d"),
        (["evaluate", "dataset=all", "data.root=~nobody-x/d"], "no folder ~nobody-x/d"),
        (["evaluate", "dataset=vot", "data.root=~nobody-x/d"], "~nobody-x/d"),
    ],
)
def test_the_home_of_nobody_is_a_name(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    for part in ("JPEGImages", "Annotations"):
        (tmp_path / "frames" / part / "clip").mkdir(parents=True)
        Image.new("L", (30, 20), 1).save(tmp_path / "frames" / part / "clip" / "00000.png")
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2 and words in capsys.readouterr().err


def test_bad_masks(capsys: pytest.CaptureFixture[str], frames: str, tmp_path: Path) -> None:
    Image.new("L", (31, 20), 255).save(tmp_path / "large.png")
    Image.new("L", (30, 20), 0).save(tmp_path / "empty.png")
    Image.new("L", (30, 20), 255).save(tmp_path / "full.png")
    (tmp_path / "text.png").write_text("text")
    for name, words in (
        ("large.png", "is 31x20 pixels, the frame is 30x20"),
        ("empty.png", "empty.png is empty"),
        ("text.png", "expected an indexed or grey PNG"),
        ("full.png@7", "a prompt on frame 7"),
    ):
        assert words in fails(capsys, "segment", frames, "--mask", str(tmp_path / name))
    twice = ["--mask", str(tmp_path / "full.png")] * 2
    assert "object 1 has two masks on frame 0" in fails(capsys, "segment", frames, *twice)


def test_bad_scribbles(capsys: pytest.CaptureFixture[str], frames: str, tmp_path: Path) -> None:
    for text, words in (
        ("{", "is no JSON file"),
        ('{"strokes": []}', "is not DAVIS scribble JSON"),
        ('{"scribbles": [[{"path": 3, "object_id": 1}]]}', "must be x,y pairs"),
        ('{"scribbles": [[{"path": [[0.1, 2]], "object_id": 1}]]}', "outside the frame"),
        ('{"scribbles": [[{"path": [[0.1, 0.2]], "object_id": 0}]]}', "draw on objects only"),
        ('{"scribbles": [[], []]}', "holds no scribble"),
    ):
        (tmp_path / "s.json").write_text(text)
        assert words in fails(capsys, "segment", frames, "--scribble", str(tmp_path / "s.json"))


def test_bad_commands_and_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    assert "COMMAND" in fails(capsys)
    assert "invalid choice: 'follow'" in fails(capsys, "follow")
    assert "INPUT" in fails(capsys, "segment")
    fails(capsys, "evaluate", "no_such_key=1")
    fails(capsys, "train", "no_such_key=1")
    fails(capsys, "benchmark", "--weights", "no-such")


@pytest.mark.parametrize(("stopped", "status"), [(True, 130), (False, 0)])
def test_a_training_that_was_stopped_has_the_status_of_what_ctrl_c_stopped(
    monkeypatch: pytest.MonkeyPatch, stopped: bool, status: int
) -> None:
    monkeypatch.setattr(training, "main", lambda overrides: stopped)
    assert main(["train", "stage=image"]) == status


def test_a_pickle_is_never_opened_as_weights(capsys: pytest.CaptureFixture[str], frames: str, tmp_path: Path) -> None:
    import pickle

    (tmp_path / "model.safetensors").write_bytes(pickle.dumps({"a": 1}))
    line = fails(
        capsys, "segment", frames, "--box", "1@0:0,0,9,9", "--weights", str(tmp_path / "model.safetensors")
    )  # fmt: skip
    assert "is not a whole safetensors file" in line


def test_output_folder_that_cannot_be_made(capsys: pytest.CaptureFixture[str], frames: str, tmp_path: Path) -> None:
    from univs.commands.output_folder import OutputFolder

    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        OutputFolder(tmp_path / "file" / "out", 25, "")


def test_help_and_version_are_cheap() -> None:
    for option in ("--help", "--version"):
        code = (
            f"import sys; from univs.cli import main\ntry: main([{option!r}])\n"
            "except SystemExit as end: print(end.code, *(m for m in ('torch', 'av', 'hydra') if m in sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert "univs" in done.stdout and done.stdout.splitlines()[-1].strip() == "0"
