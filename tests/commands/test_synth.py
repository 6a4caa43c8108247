"""`univs synth` writes the built-in world in the layout of a public set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from univs import cli
from univs.data.synth import SynthVS
from univs.formats import read_set


def test_clips_come_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "folder"
    options = ["--videos", "2", "--frames", "3", "--size", "48x80", "--seed", "5", "--difficulty", "0.2"]
    assert cli.main(["synth", "--format", "davis17", "--out", str(out), *options]) == 0
    assert str(out) in capsys.readouterr().out
    data, clips = read_set("davis17", out), SynthVS("val", (48, 80), 3, 5, 0.2, length=2)
    assert len(data) == 2
    for place in range(2):
        assert np.array_equal(data[place].labels, clips[place].labels)


@pytest.mark.parametrize(("split", "ours"), [("train", "train"), ("test", "test"), (None, "val")])
def test_each_split_is_of_its_world(split: str | None, ours: str, tmp_path: Path) -> None:
    options = ["--videos", "1", "--frames", "2", "--size", "48x80", *(["--split", split] if split else [])]
    assert cli.main(["synth", "--format", "ytvis19", "--out", str(tmp_path), *options]) == 0
    assert read_set("ytvis19", tmp_path, split).recordings[0].name == f"synth-{ours}-0-00000"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "davis18"], "did you mean davis1"),
        (["--format", "davis17", "--split", "valid"], "davis17 has val, train"),
        (["--format", "davis17", "--videos", "0"], "--videos"),
        (["--format", "davis17", "--size", "48"], "--size 48: expected height x width"),
        (["--format", "davis17", "--size", "8x8"], "sides must be in"),
        (["--format", "davis17", "--difficulty", "2"], "outside 0..1"),
        ([], "--format"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(["synth", "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1
    assert not out.exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("precious")
    assert cli.main(["synth", "--format", "davis17", "--out", str(tmp_path)]) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
