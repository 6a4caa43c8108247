"""The six scores on SynthVS: the truth itself scores 100, worse answers less, and a killed run goes on."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from univs import cli
from univs.configuration import compose
from univs.data.synth import SynthVS
from univs.errors import UserError
from univs.evaluation import synth_runner
from univs.evaluation.runner import main
from univs.evaluation.synth import EXAMS, exam
from univs.evaluation.synth_runner import ClipRecord, evaluate, results_table, run, run_clip, summary
from univs.formats.sample import VideoSample
from univs.models import zoo
from univs.prompts import Categories, Mask, Text
from univs.results import FrameResult

TASKS = ("vos", "pvos", "refvos", "vis", "vss", "vps")
CLIPS = SynthVS("val", (96, 160), num_frames=4, seed=1, difficulty=0.7, length=6)


class Oracle:
    """Knows the truth of its clip, and answers `late` frames after a frame has come; `shift` moves its masks."""

    def __init__(self, sample: VideoSample, task: str, late: int = 0, shift: int = 0) -> None:
        self.sample, self.task, self.late, self.shift = sample, task, late, shift
        self.start = min(exam(task, sample).prompts, default=0)
        self.answered, self.came = 0, 0
        self.meant: dict[int, int] = {}  # id in the answer -> id in the truth

    def push(self, frame: np.ndarray, prompts: Sequence[Any] = ()) -> list[FrameResult]:
        np.testing.assert_array_equal(frame, self.sample.frames[self.start + self.came])
        for prompt in prompts:
            if isinstance(prompt, Mask):
                assert self.shift or (self.truth(self.start + self.came) == prompt.object_id)[prompt.mask].all()
                self.meant[prompt.object_id] = prompt.object_id
            elif isinstance(prompt, Text):
                meant = [i for i, lines in self.sample.expressions.items() if prompt.text in lines]
                (self.meant[prompt.object_id],) = meant
            else:
                assert isinstance(prompt, Categories) and prompt.names[0] == "dog"
                assert len(prompt.names) == (361 if self.task == "vis" else 385)
                assert (prompt.things is None) == (self.task == "vis")
        self.came += 1
        return self.answers(self.came - self.late)

    def flush(self) -> list[FrameResult]:
        return self.answers(self.came)

    def answers(self, end: int) -> list[FrameResult]:
        results = [self.answer(index) for index in range(self.answered, end)]
        self.answered = max(self.answered, end)
        return results

    def truth(self, frame: int) -> np.ndarray:
        maps = self.sample.panoptic if self.task in ("pvos", "vss", "vps") else self.sample.labels
        return np.roll(maps[frame], self.shift, axis=1)

    def answer(self, index: int) -> FrameResult:
        truth = self.truth(self.start + index)
        if EXAMS[self.task][1] == "classes":
            names = {**self.sample.categories, **self.sample.stuff}
            ids = [int(i) for i in np.unique(truth) if i]
            separate = {i + 1000: truth == i for i in ids} if self.task == "vis" else None
            labels = truth if separate is None else np.zeros_like(truth)
            number = {i: i + 1000 if separate else i for i in ids}
            return FrameResult(index, labels, tuple(number.values()), {}, separate, {number[i]: names[i] for i in ids})
        separate = {i: truth == j for i, j in self.meant.items()}
        return FrameResult(index, np.zeros_like(truth), tuple(separate), {}, separate)


@pytest.mark.parametrize("task", TASKS)
def test_the_truth_scores_100_whether_it_comes_at_once_or_late(task):
    for late in (0, 2):
        records = [run_clip(sample, task, Oracle(sample, task, late)) for sample in CLIPS]
        assert summary(records)["score"] == 100 and summary(records)["count"] > 5
    worse = [run_clip(sample, task, Oracle(sample, task, shift=12)) for sample in CLIPS]
    assert 2 < summary(worse)["score"] < 90


def test_what_is_counted_is_named():
    shown = io.StringIO()
    records = [run_clip(sample, "vps", Oracle(sample, "vps")) for sample in CLIPS]
    figures = summary(records)
    assert set(figures["parts"]) == {"seen things", "unseen things", "stuff"} and figures["parts"]["stuff"] == 100
    classes = {name for sample in CLIPS for name in {**sample.categories, **sample.stuff}.values()}
    assert set(figures["keys"]) == classes and figures["count"] == len(classes)
    Console(file=shown, width=120).print(results_table(records, "vps", "title"))
    assert "synth-val-1-00003" in shown.getvalue() and "unseen things" in shown.getvalue()


def test_objects_and_expressions_are_counted_one_by_one():
    sample = CLIPS[0]
    objects = run_clip(sample, "vos", Oracle(sample, "vos")).tally
    assert 0 < len(objects) <= len(sample.object_ids()) and all(key.startswith(sample.name) for key in objects)
    expressions = {key.partition("/")[2] for key in run_clip(sample, "refvos", Oracle(sample, "refvos")).tally}
    assert expressions <= {line for lines in sample.expressions.values() for line in lines}
    assert len(sample.expressions) <= len(expressions) <= 2 * len(sample.expressions)


def test_a_silent_model_scores_nothing():
    class Silent(Oracle):
        def answer(self, index: int) -> FrameResult:
            return FrameResult(index, np.zeros((96, 160), np.uint8), ())

    for task in TASKS:
        assert summary([run_clip(CLIPS[1], task, Silent(CLIPS[1], task))])["score"] < 10, task


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    console, used = Console(file=io.StringIO()), {"task": "vis", "weights": "x"}

    def go(settings: dict[str, str]) -> tuple[list[ClipRecord], int]:
        made: list[Oracle] = []

        def session() -> Oracle:
            number = next(i for i in range(len(CLIPS)) if not (tmp_path / "sequences" / f"{i:05d}.json").is_file())
            made.append(Oracle(CLIPS[number], "vis"))
            return made[-1]

        return run(CLIPS, "vis", session, settings, tmp_path, console), len(made)

    first, count = go(used)
    assert count == len(CLIPS)
    (tmp_path / "sequences" / "00002.json").unlink()
    second, count = go(used)
    assert count == 1 and [record.tally for record in second] == [record.tally for record in first]
    assert ClipRecord.read(tmp_path / "sequences" / "00001.json", used) == first[1]
    assert ClipRecord.read(tmp_path / "sequences" / "00001.json", {**used, "weights": "y"}) is None
    (tmp_path / "sequences" / "00001.json").write_text('{"settings": {"task": ')
    assert ClipRecord.read(tmp_path / "sequences" / "00001.json", used) is None


def test_a_clip_without_a_question_has_no_figures():
    sample = CLIPS[0]
    bare = VideoSample(sample.frames, sample.labels, sample.categories, name="bare", panoptic=sample.panoptic)
    record = run_clip(bare, "refvos", Oracle(bare, "refvos"))
    assert record.tally == {} and record.num_frames == 0 and math.isnan(summary([record])["score"])


def test_settings_are_checked_before_anything_is_loaded(tmp_path: Path) -> None:
    for overrides, message in (
        (["task=seg"], "unknown task seg: choose one of vos, "),
        (["videos=0"], "at least 1"),
        (["data.split=dev"], "no split 'dev'"),
        (["data.fps=3"], "fps"),
        (["+data.fps=3"], "unknown setting data.fps"),
        (["+data.photos=/nowhere"], "photo"),
        (["weights=/nowhere"], "/nowhere"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            main(["dataset=synth", f"out={tmp_path}", *overrides])
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="unknown task"):
        exam("seg", CLIPS[0])


def test_the_command_scores_vos_and_goes_on_with_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "new.safetensors"
    numbers = compose("train", ["model=tiny", "data.root=-"])["model"]
    zoo.save(zoo.build_model(numbers), weights, numbers)
    command = ["evaluate", "dataset=synth", "videos=1", f"weights={weights}", "data.num_frames=3", "size=96"]
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == 0
    figures = json.loads((tmp_path / "results" / "synth" / "vos" / "summary.json").read_text())
    assert figures["videos"] == 1 and 0 <= figures["score"] <= 100 and len(figures["keys"]) == figures["count"]
    monkeypatch.setattr(synth_runner, "run_clip", lambda *_: pytest.fail("computed again"))
    assert cli.main(command) == 0
    with pytest.raises(UserError):
        evaluate("synth", "vos", 1, 0, {"size": (8, 8)})
