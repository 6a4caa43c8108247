"""`univs datasets pack`: from the settings of a training run to a file, and errors of one line."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

pytest.importorskip("cv2")

from univs import cli  # noqa: E402
from univs.commands.pack import a_file_size  # noqa: E402
from univs.configuration import compose  # noqa: E402
from univs.data.pack import open_pack  # noqa: E402
from univs.data.portrait_images import build_portraits  # noqa: E402
from univs.training.run import read_clips  # noqa: E402
from univs.training.stages import check_run  # noqa: E402


def pack(*arguments: object) -> int:
    return cli.main(["datasets", "pack", *map(str, arguments)])


def test_a_run_from_the_pack_draws_what_a_run_from_the_sources_draws(
    photo_folder: Path, video_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "pack.zip"
    sources = f"[{{kind: photos, root: {photo_folder}}}, {{kind: videos, root: {video_folder}, weight: 3}}]"
    given = ["data.root=-", f"data.sources={sources}", "data.probabilities.video=0.6"]
    assert pack(*given, "--out", out, "--quality", "95", "--longest", "300") == 0
    printed = capsys.readouterr()
    size = f"{out.stat().st_size / 1e3:.1f} kB"
    assert printed.out == f"11 pictures of 2 sources, {size} at WebP quality 95: {out}\n" and not printed.err
    drawn = []
    for data in (["data=pack", f"data.root={out}"], given):
        settings = compose("train", [*data, "stage.size=64", "stage.frames=2"])
        check_run(settings)
        drawn.append(read_clips(settings["data"], settings["stage"], 4, 1))
    for index in range(8):
        one, other = drawn[0][index], drawn[1][index]
        assert one.targets == other.targets and one.kind == other.kind and (one.labels == other.labels).all()


def test_people(photo_folder: Path, tmp_path: Path) -> None:
    """For stage portrait, whose data have no sorts of clips; other stages make clips of the same file."""
    out = tmp_path / "people.zip"
    sources = f"data.sources=[{{kind: photos, root: {photo_folder}}}]"
    stage = ["stage=portrait", "model=portrait", "init=null"]
    assert pack(*stage, "data=people", "data.root=-", sources, "--out", out, "--quality", "95") == 0
    drawn = []
    for data in ([sources, "data=people", "data.root=-"], ["data=pack", f"data.root={out}"]):
        settings = compose("train", [*stage, *data])
        check_run(settings)
        drawn.append(build_portraits(settings["data"]["sources"], size=32))
    for index in range(8):
        assert (drawn[0][index].mask == drawn[1][index].mask).all() and (drawn[0][index].mask == 1).any()
    clips = compose("train", ["data=pack", f"data.root={out}", "stage.size=64", "stage.frames=2"])
    assert read_clips(clips["data"], clips["stage"], 4, 1)[0].targets


def test_words(coco_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "words.zip"
    sources = f"data.sources=[{{kind: coco, root: {coco_folder}}}, {{kind: synth, size: [64, 64]}}]"
    assert pack("stage=words", "data=named_images", "data.root=-", sources, "--out", out) == 0
    assert len(open_pack(out, "words", made=dict)) == 2


def test_the_limit(photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pack.zip"
    given = ["data.root=-", f"data.sources=[{{kind: photos, root: {photo_folder}}}]", "data.probabilities.video=0"]
    assert pack(*given, "--out", out) == 0
    whole = out.stat().st_size
    assert pack(*given, "--out", out, "--limit", f"{(whole - 100) / 1000}KB") == 0
    assert out.stat().st_size < whole - 100 and "at WebP quality 80" not in capsys.readouterr().out.splitlines()[-1]
    kept = out.read_bytes()
    assert pack(*given, "--out", out, "--limit", "1KB") == 2
    error = capsys.readouterr().err
    assert "at quality 40, and --limit allows 1.0 kB" in error and len(error.splitlines()) == 1
    assert out.read_bytes() == kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "SOURCES, --out"),
        (["data.root=/nowhere", "--out", "a.zip"], "/nowhere/labelled/instances/coco_subset"),
        (["--out", "a.zip", "data.root="], "no folder /labelled/instances"),
        (["nonsense", "--out", "a.zip"], "'nonsense' is not of the form KEY=VALUE"),
        (
            ["data=nobody", "--out", "a.zip"],
            "there is no data/nobody; there are named_images, pack, people, photos_and_videos",
        ),
        (["data=pack", "data.root=gone.zip", "--out", "a.zip"], "cannot read the pack gone.zip: No such file"),
        (
            ["data=pack", "data.root=other.zip", "--out", "a.zip"],
            "cannot read the pack other.zip: it is cut off",
        ),
        (["data=named_images", "data.root=.", "--out", "a.zip"], "no value for data.probabilities"),
        (["data.root=.", "--out", "a.tar"], "--out a.tar does not end in .zip; expected a file such as pack.zip"),
        (["data.root=.", "--out", "folder.zip"], "--out folder.zip is a folder"),
        (["data.root=.", "--out", "other.zip"], "--out other.zip is there and no pack"),
        (["data.root=.", "--out", "other.zip/a.zip"], "--out other.zip/a.zip: the folder other.zip cannot be made"),
        (["data.root=.", "--out", "/proc/a.zip"], "/proc"),
        (["data.root=.", "--out", ""], "is empty"),
        (["data.root=.", "--out", "a.zip", "--longest", "8"], "'8' is no number of pixels from 16 to 16383"),
        (["data.root=.", "--out", "a.zip", "--quality", "0"], "'0' is no quality from 1 to 100"),
        (["data.root=.", "--out", "a.zip", "--limit", "45"], "'45' is no size of a file, such as 45MB"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.zip").write_bytes(b"something of somebody's")
    (tmp_path / "folder.zip").mkdir()
    assert pack(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.zip", "other.zip"]


def test_a_source_that_training_would_miss_is_asked_for(
    photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = f"data.sources=[{{kind: photos, root: {photo_folder}}}]"
    assert pack("data.root=-", sources, "--out", tmp_path / "a.zip") == 2
    assert "no source for video, drawn with 0.2" in capsys.readouterr().err


def test_sizes_of_files() -> None:
    texts = {"45MB": 45_000_000, "1.5 gb": 1_500_000_000, "2KiB": 2048, "0.5MiB": 2**19, "9kb": 9000}
    assert {text: a_file_size(text) for text in texts} == texts
    for text in ("", "MB", "-1MB", "0MB", "45M", "4,5MB", "1e3MB", "١MB", "9" * 40 + "MB"):
        with pytest.raises(argparse.ArgumentTypeError):
            a_file_size(text)
