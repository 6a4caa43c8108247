"""`univs score`: what it prints, what it refuses, and that it starts quickly without torch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs import cli
from univs.commands.score import plain
from univs.errors import UserError
from univs.evaluation.metrics.scores import METRICS, find_metric


def write(path: Path, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels.astype(np.uint8)).save(path)


@pytest.fixture
def davis(tmp_path: Path) -> tuple[Path, Path]:
    """Two objects on five frames; predicted rightly but for object 2 on frame 2, which is missed."""
    gt, pred = tmp_path / "DAVIS", tmp_path / "results"
    (gt / "ImageSets" / "2017").mkdir(parents=True)
    (gt / "ImageSets" / "2017" / "val.txt").write_text("dance\n")
    for t in range(5):
        labels = np.zeros((30, 40))
        labels[5:15, 5 + t : 15 + t], labels[20:26, 25:35] = 1, 2
        write(gt / "Annotations" / "480p" / "dance" / f"{t:05d}.png", labels)
        write(pred / "dance" / f"{t:05d}.png", np.where((labels == 2) & (t == 2), 0, labels))
    return gt, pred


def run(*arguments: object) -> int:
    return cli.main(["score", *map(str, arguments)])


def test_json_has_the_official_names(davis: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    gt, pred = davis
    assert run("davis2017", "--gt", gt, "--pred", pred, "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["global"]["J-Mean"] == pytest.approx((1 + 2 / 3) / 2)
    assert figures["per_object"]["dance_2"]["F-Recall"] == pytest.approx(2 / 3)
    assert figures["per_frame"]["dance"]["J"] == [[1, 1, 1], [1, 0, 1]]


def test_the_table_has_a_line_for_each_object(davis: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    gt, pred = davis
    assert run("davis2017_semisupervised", "--gt", gt, "--pred", pred, "--workers", 1) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if "dance_" in line] == ["dance_1", "dance_2"]
    assert "J&F-Mean                 0.8333" in lines


def test_several_processes_give_the_same(davis: tuple[Path, Path]) -> None:
    gt, pred = davis
    for name in ("more", "again"):
        for folder in (gt / "Annotations" / "480p", pred):
            (folder / name).symlink_to(folder / "dance")
    (gt / "ImageSets" / "2017" / "val.txt").write_text("dance\nmore\nagain\n")
    seen: list[tuple[int, int]] = []
    score = METRICS["davis2017_semisupervised"].load()
    alone, together = (
        score(gt, pred, workers=workers, progress=lambda done, total: seen.append((done, total))) for workers in (1, 2)
    )
    assert plain(alone.figures) == plain(together.figures)
    assert list(together.rows) == [f"{name}_{k}" for name in ("dance", "more", "again") for k in (1, 2)]
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)] * 2


def spoil_size(gt: Path, pred: Path) -> str:
    write(pred / "dance" / "00001.png", np.zeros((20, 40)))
    return r"00001\.png is 20x40 .* expected 30x40"


def spoil_ids(gt: Path, pred: Path) -> str:
    write(pred / "dance" / "00003.png", np.full((30, 40), 7))
    return r"00003\.png holds id 7; dance has the objects 1 to 2"


def spoil_frames(gt: Path, pred: Path) -> str:
    (pred / "dance" / "00002.png").unlink()
    return r"dance/00002\.png missing; expected the frames of .*Annotations/480p/dance"


def spoil_sequence(gt: Path, pred: Path) -> str:
    (gt / "ImageSets" / "2017" / "val.txt").write_text("dance\nwalk\n")
    return r"480p/walk does not exist"


def spoil_list(gt: Path, pred: Path) -> str:
    (gt / "ImageSets" / "2017" / "val.txt").write_text("\n")
    return r"val\.txt names no sequence; expected those of DAVIS-2017, one a line"


def spoil_colours(gt: Path, pred: Path) -> str:
    Image.new("RGB", (40, 30)).save(pred / "dance" / "00001.png")
    return r"00001\.png is a picture in colours"


def spoil_file(gt: Path, pred: Path) -> str:
    (pred / "dance" / "00001.png").write_bytes(b"no picture")
    return r"cannot read the mask .*00001\.png"


def spoil_folder(gt: Path, pred: Path) -> str:
    (gt / "Annotations").rename(gt / "annotations_")
    return r"Annotations/480p does not exist; expected a folder that holds SEQUENCE"


SPOILERS = (spoil_size, spoil_ids, spoil_frames, spoil_sequence, spoil_list, spoil_colours, spoil_file, spoil_folder)


@pytest.mark.parametrize("spoil", SPOILERS)
@pytest.mark.parametrize("workers", [1, 2])
def test_bad_files_are_one_line(
    davis: tuple[Path, Path], spoil: Callable[[Path, Path], str], workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    gt, pred = davis
    message = spoil(gt, pred)
    assert run("davis2017", "--gt", gt, "--pred", pred, "--workers", workers) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.strip().splitlines()) == 1
    with pytest.raises(UserError, match=message):
        METRICS["davis2017_semisupervised"].load()(gt, pred, workers=workers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["davis2071", "--gt", ".", "--pred", "."], "did you mean davis2017?"),
        (["davis2017", "--gt", "nowhere", "--pred", "."], "--gt nowhere does not exist"),
        (["davis2017", "--gt", ".", "--pred", ".", "--task", "vos"], "--task: davis2017_semisupervised has no"),
        (["davis2017", "--gt", ".", "--pred", ".", "--workers", "0"], "--workers must be at least 1"),
        (["davis2017", "--gt", "."], "--pred"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1


def test_names_and_aliases_are_one_metric_each() -> None:
    names = [name for known, metric in METRICS.items() for name in (known, *metric.aliases)]
    assert len(names) == len(set(names))
    for known, metric in METRICS.items():
        assert all(find_metric(name.upper().replace("_", "-"))[0] == known for name in (known, *metric.aliases))
        assert callable(metric.load())


def test_plain_values() -> None:
    values = {1: np.float64("nan"), "a": [np.int64(3), 0.5, float("inf") > 0], "b": np.eye(2), "c": None}
    assert plain(values) == {"1": None, "a": [3, 0.5, True], "b": [[1, 0], [0, 1]], "c": None}


def test_it_starts_quickly_and_without_torch(davis: tuple[Path, Path]) -> None:
    gt, pred = davis
    program = (
        "import sys, time, resource; from univs.cli import main; "
        f"main(['score', 'davis2017', '--gt', {str(gt)!r}, '--pred', {str(pred)!r}]); "
        "assert 'torch' not in sys.modules; used = resource.getrusage(resource.RUSAGE_SELF); "
        "print('seconds', used.ru_utime + used.ru_stime)"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    # Seconds of the processor, which others on the machine do not change; the wall shows them on a quiet one.
    assert float(done.stdout.split("seconds")[1]) < 1.5, time.perf_counter() - start
