"""`univs score vot` on files that are written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.formats.test_vot import box, write_sequence
from univs import cli
from univs.errors import UserError
from univs.evaluation.metrics.vot import score
from univs.formats.vot import line_of_region

LENGTH = 24


def answers(folder: Path, name: str, lines: list[str], run: int = 1) -> None:
    path = folder / "baseline" / name / f"{name}_{run:03d}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two sequences: one followed half a box off, one lost on frame 12 and begun anew on frame 17."""
    for name in ("ant", "ball"):
        write_sequence(tmp_path / "gt" / name, ["10,10,10,8"] * LENGTH)
    half, whole = line_of_region(box(15, 10)), line_of_region(box(10, 10))
    answers(tmp_path / "pred", "ant", ["1", *[half] * (LENGTH - 1)])
    answers(tmp_path / "pred", "ball", ["1", *[whole] * 11, "2", *["0"] * 4, "1.0000", *[whole] * 6])
    return tmp_path / "gt", tmp_path / "pred"


def test_figures(folders: tuple[Path, Path]) -> None:
    scores = score(*folders)
    third = 1 / 3  # of boxes of 10 pixels, 5 apart
    assert scores.rows["ant"] == {"A": pytest.approx(third), "failures": 0}
    assert scores.rows["ball"] == {"A": pytest.approx(1), "failures": 1}
    assert scores.summary["A"] == pytest.approx((14 * third + 2) / 16), "frames behind the tenth of each beginning"
    assert scores.summary["R"] == pytest.approx(100 / 48) and scores.summary["failures"] == 1
    assert (scores.figures["low"], scores.figures["high"]) == (LENGTH, LENGTH)
    # on 23 frames behind the first: a third; 11 whole ones and a failure; the last part is too short to tell
    assert scores.summary["EAO"] == pytest.approx((third + 11 / 23) / 2)
    again = score(*folders, interval="vot2019")
    assert (again.figures["low"], again.figures["high"]) == (46, 291)
    assert again.summary["EAO"] == pytest.approx(float(np.mean([11 / (n - 1) for n in range(46, 292)])))


@pytest.mark.parametrize(
    ("interval", "lengths"), [("vot2016", (108, 371)), ("vot2018", (100, 356)), ("vot2019", (46, 291))]
)
def test_typical_lengths_of_the_challenges(folders: tuple[Path, Path], interval: str, lengths: tuple[int, int]) -> None:
    figures = score(*folders, interval=interval).figures
    assert (figures["low"], figures["high"]) == lengths


def test_several_runs_count_alike(folders: tuple[Path, Path]) -> None:
    gt, pred = folders
    for name in ("ant", "ball"):
        answers(pred, name, ["1", *[line_of_region(box(10, 10))] * (LENGTH - 1)], run=2)
    for name in ("ant_time.txt", "ant_1.txt", "ants_001.txt"):  # toolkits leave such beside them
        (pred / "baseline" / "ant" / name).write_text("0.1")
    scores = score(gt, pred)
    assert scores.rows["ball"]["failures"] == 0.5 and scores.summary["failures"] == 0.5
    assert scores.rows["ant"]["A"] == pytest.approx((1 / 3 + 1) / 2)


def test_who_answers_that_the_object_is_nowhere_meets_nothing_of_it(folders: tuple[Path, Path]) -> None:
    gt, pred = folders
    whole = line_of_region(box(10, 10))
    answers(pred, "ant", ["1", *[whole] * 13, *["nan,nan,nan,nan"] * 10])
    scores = score(gt, pred)
    assert scores.rows["ant"] == {"A": pytest.approx(4 / 14), "failures": 0}
    assert scores.summary["EAO"] == pytest.approx((13 / 23 + 11 / 23) / 2)


def test_frames_of_which_nothing_is_known_do_not_count(folders: tuple[Path, Path]) -> None:
    """Nor does what is answered there: half of the box, or that it is nowhere."""
    gt, pred = folders
    (gt / "ant" / "groundtruth.txt").write_text(
        "\n".join(["10,10,10,8"] * 14 + ["nan,nan,nan,nan"] * 4 + ["10,10,10,8"] * 6)
    )
    half, whole = line_of_region(box(15, 10)), line_of_region(box(10, 10))
    answers(pred, "ant", ["1", *[half] * 13, *[whole] * 2, *["nan,nan,nan,nan"] * 2, *[whole] * 6])
    scores = score(gt, pred)
    assert scores.rows["ant"] == {"A": pytest.approx((4 / 3 + 6) / 10), "failures": 0}
    # 19 frames are known behind the first, too few to tell what 23 would be: the failure of the other alone does
    assert scores.summary["EAO"] == pytest.approx(11 / 23)


def test_by_the_command(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    gt, pred = folders
    assert cli.main(["score", "vot", "--gt", str(gt), "--pred", str(pred), "--interval", "vot2018", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["low"] == 100


def test_what_is_wrong_is_said(folders: tuple[Path, Path]) -> None:
    gt, pred = folders
    with pytest.raises(UserError, match="expected a folder that holds SEQUENCE/SEQUENCE_001.txt"):
        score(gt, gt)
    path = pred / "baseline" / "ant" / "ant_001.txt"
    for text, words in (
        ("1\n", "has 1 lines for 24 frames"),
        ("0\n" * LENGTH, "says nowhere .* that the tracker was begun"),
        ("1\n" + "5,5\n" * (LENGTH - 1), "line 2: 2 numbers"),
        ("2\n1\n" + "5,5,5,5\n" * (LENGTH - 2), "line 1: nobody was begun .by a line 1. before it"),
        ("1\n2\n" + "5,5,5,5\n" * (LENGTH - 2), "line 3: nobody was begun"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=words):
            score(gt, pred)
    path.unlink()
    with pytest.raises(UserError, match="no answers to the sequence ant"):
        score(gt, pred)


def test_a_frame_is_wider_than_high(folders: tuple[Path, Path]) -> None:
    """60 pixels wide, 40 high: what an answer has beyond that is cut off, and no more."""
    gt, pred = folders
    for name in ("ant", "ball"):
        (gt / name / "groundtruth.txt").write_text("\n".join(["48,10,10,8"] * LENGTH))
        answers(pred, name, ["1", *[line_of_region(box(53, 10))] * (LENGTH - 1)])
    assert score(gt, pred).summary["A"] == pytest.approx(5 / 12), "of 48 to 60, 53 to 58 are shared"
