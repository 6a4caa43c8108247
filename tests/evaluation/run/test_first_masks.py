"""First masks of objects that are shown one by one: which are taken, what is asked, and IoU worked out by hand."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from univs.configuration import compose
from univs.errors import UserError
from univs.evaluation.run import first_masks
from univs.evaluation.run.benchmark_run import answer
from univs.evaluation.run.first_masks import find_job
from univs.evaluation.run.questions import Question
from univs.evaluation.run.report import report
from univs.evaluation.run.sharding import World
from univs.formats import Recording
from univs.prompts import Box, Mask, Points
from univs.results import FrameResult

SIZE = 40
BOXES = [(0, 0, 4, 4), (10, 0, 12, 10), (0, 20, 40, 20), (30, 2, 2, 2)]
"""x, y, width, height: 1 %, 7.5 %, 50 % and 0.25 % of the image."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images: one with four things, the second of which nobody is sure of in part; one with a thing."""
    (tmp_path / "one" / "images").mkdir(parents=True)
    entries, annotations = [], []
    for number, boxes in enumerate((BOXES, BOXES[1:2])):
        Image.new("RGB", (SIZE, SIZE)).save(tmp_path / "one" / "images" / f"{number}.png")
        entries.append({"id": number, "file_name": f"{number}.png", "height": SIZE, "width": SIZE})
        for x, y, width, height in boxes:
            polygon = [[x, y, x + width, y, x + width, y + height, x, y + height]]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "segmentation": polygon,
                    "iscrowd": 0,
                }
            )
    content = {"images": entries, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (tmp_path / "one" / "annotations.json").write_text(json.dumps(content))
    (tmp_path / "val.txt").write_text("0.png\n1.png\n")
    return tmp_path


def data(root: Path) -> Any:
    return {"root": str(root), "folders": ["one"], "list": str(root / "val.txt")}


class Boxes:
    """Answers a box, wherever it lies, with a mask that is one column wider to the right."""

    begun = 0

    def __init__(self, recording: Recording, question: Question) -> None:
        self.said: list[Any] = []
        Boxes.begun += 1

    def push(self, frame: np.ndarray, prompts: Sequence[Any] = ()) -> list[FrameResult]:
        (prompt,) = prompts
        assert isinstance(prompt, Box)
        self.said.append(prompt)
        left, top, right, bottom = (round(side) for side in prompt.xyxy)
        labels = np.zeros(frame.shape[:2], np.uint8)
        labels[top:bottom, left : right + 1] = prompt.object_id
        return [FrameResult(0, labels, (prompt.object_id,))]

    def flush(self) -> list[FrameResult]:
        return []


def test_each_object_is_shown_alone_and_scored(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = find_job(data(root), None, 0.01, "box", tmp_path / "out")
    assert [(r.name, len(r.shown)) for r in job.recordings] == [
        ("one/0_1", 1),
        ("one/0_2", 1),
        ("one/0_3", 1),
        ("one/1_1", 1),
    ]
    outcome = answer(job, Boxes, {}, World(0, 1), Console(file=io.StringIO()))
    assert outcome is not None and outcome.scores is not None
    wanted = {"small": [16 / 20], "medium": [120 / 130, 120 / 130], "large": [1.0]}  # the last touches the right side
    for name, ious in wanted.items():
        assert outcome.scores.rows[name]["iou"] == pytest.approx(np.mean(ious))
        assert outcome.scores.rows[name]["objects"] == len(ious)
    every = [iou for ious in wanted.values() for iou in ious]
    assert outcome.scores.summary == {"objects": 4, "iou": pytest.approx(np.mean(every)), "low": 0.0}
    assert outcome.figures == {"IoU": pytest.approx(100 * np.mean(every))}
    report(outcome, Console(file=io.StringIO()))
    assert f"{100 * np.mean(every):.1f}" in capsys.readouterr().out


def test_images_of_one_name_are_answered_each_for_itself(root: Path, tmp_path: Path) -> None:
    """Two of one stem in folders of their own, and two folders of one name; other names are as short as ever."""
    content = json.loads((root / "one" / "annotations.json").read_text())
    for place, name in enumerate(("a/1.png", "b/1.png")):
        (root / "one" / "images" / name).parent.mkdir()
        (root / "one" / "images" / f"{place}.png").rename(root / "one" / "images" / name)
        content["images"][place]["file_name"] = name
    (root / "one" / "annotations.json").write_text(json.dumps(content))
    (root / "val.txt").write_text("a/1.png\nb/1.png\n")
    job = find_job(data(root), None, 0.01, "box", tmp_path / "out")
    assert [r.name for r in job.recordings] == [
        f"one_0/{name}" for name in ("a/1.png_1", "a/1.png_2", "a/1.png_3", "b/1.png_1")
    ]
    Boxes.begun = 0
    assert answer(job, Boxes, {}, World(0, 1), Console(file=io.StringIO())) is not None and Boxes.begun == 4
    for name in ("x", "y"):
        shutil.copytree(root / "one", root / name / "one")
    (root / "val.txt").write_text("b/1.png\n")
    both = {**data(root), "folders": ["x/one", "y/one"]}
    assert [r.name for r in find_job(both, None, 0.01, "box", tmp_path).recordings] == [
        "one_0/b/1.png_1",
        "one_1/b/1.png_1",
    ]
    assert [r.name for r in find_job(data(root), None, 0.01, "box", tmp_path).recordings] == ["one/1_1"]


def test_low_masks_are_counted(root: Path, tmp_path: Path) -> None:
    assert first_masks.summary([0.49, 0.5, 1.0, 0.0]) == {"objects": 4, "iou": pytest.approx(0.4975), "low": 0.5}


def test_as_many_as_asked_for_are_spread_over_all(root: Path, tmp_path: Path) -> None:
    job = find_job(data(root), 2, 0.0, "box", tmp_path)
    assert [r.name for r in job.recordings] == ["one/0_1", "one/1_1"]
    assert len(find_job(data(root), None, 0.0, "box", tmp_path).recordings) == 5
    with pytest.raises(UserError, match="lower least_share"):
        find_job(data(root), None, 0.6, "box", tmp_path)


@pytest.mark.parametrize(("prompt", "kind"), [("box", Box), ("point", Points), ("mask", Mask)])
def test_prompts_are_of_the_kind_asked_for(root: Path, tmp_path: Path, prompt: Any, kind: type) -> None:
    job = find_job(data(root), 1, 0.01, prompt, tmp_path)
    (said,) = job.benchmark.ask(job.recordings[0], job.data).says(0)
    assert isinstance(said, kind) and said.object_id == 1


def test_unknown_pixels_do_not_count(root: Path, tmp_path: Path) -> None:
    job = find_job(data(root), 1, 0.01, "box", tmp_path)
    recording = job.recordings[0]
    scorer = first_masks.FirstMask(recording)
    scorer._labels = np.array([[1, 1, 255, 0]], np.uint8)
    scorer.take(FrameResult(0, np.array([[1, 1, 1, 0]], np.uint8), (1,)))
    assert scorer.figures() == {"iou": 1.0, "share": 0.5}


def test_the_command_reads_its_settings(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = compose("evaluate", ["dataset=first_masks", f"data.root={root}", "prompt=point", "objects=7"])
    assert settings["prompt"] == "point" and settings["objects"] == 7 and settings["least_share"] == 0.01


def test_answers_to_other_prompts_are_others(root: Path, tmp_path: Path) -> None:
    """Also in one folder."""
    kinds: tuple[Any, ...] = ("box", "point", "mask", "scribble")
    made_from = [find_job(data(root), None, 0.01, kind, tmp_path / "out").made_from for kind in kinds]
    assert [one["prompt"] for one in made_from] == list(kinds)
    assert all({**one, "prompt": "box"} == made_from[0] for one in made_from)
