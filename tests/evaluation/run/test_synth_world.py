"""The six scores on SynthVS: the truth itself scores 100, worse answers less, and a killed run goes on."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from univs import cli
from univs.configuration import compose
from univs.data.synth import SynthVS
from univs.errors import UserError
from univs.evaluation.run import running, synth_world
from univs.evaluation.run.benchmark_run import Job, Outcome, answer
from univs.evaluation.run.command import main
from univs.evaluation.run.report import report
from univs.evaluation.run.sharding import World
from univs.evaluation.run.synth_exam import EXAMS, exam
from univs.evaluation.run.synth_world import evaluate, job_of
from univs.formats.sample import VideoSample
from univs.models import own_files, zoo
from univs.prompts import Box, Categories, Mask, Text
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


def ask(task: str, out: Path, kind: type[Oracle] = Oracle, job: Job | None = None, **options: int) -> Outcome:
    """What comes of a task on all clips."""
    job = job or job_of(CLIPS, task, out, {})
    outcome = answer(
        job,
        lambda recording, question: kind(CLIPS[recording.key], task, **options),
        options,
        World(),
        Console(file=io.StringIO()),
    )
    assert outcome is not None
    return outcome


@pytest.mark.parametrize("task", TASKS)
def test_the_truth_scores_100_whether_it_comes_at_once_or_late(task: str, tmp_path: Path) -> None:
    for late in (0, 2):
        scores = ask(task, tmp_path / str(late), late=late).scores
        assert scores.summary["score"] == 100 and scores.summary["count"] > 5
    worse = ask(task, tmp_path / "worse", shift=12)
    assert 2 < worse.figures[task] < 90


def test_what_is_counted_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = ask("vps", tmp_path)
    figures = json.loads((tmp_path / "summary.json").read_text())
    assert set(figures["parts"]) == {"seen things", "unseen things", "stuff"} and figures["parts"]["stuff"] == 100
    classes = {name for sample in CLIPS for name in {**sample.categories, **sample.stuff}.values()}
    assert set(figures["keys"]) == classes and figures["count"] == len(classes)
    assert figures["videos"] == len(CLIPS) and figures["frames"] == 4 * len(CLIPS) and figures["score"] == 100
    report(outcome, Console(width=120))
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in row[1:5]] for row in rows]
    names = {**CLIPS[3].categories, **CLIPS[3].stuff}
    assert cells[3] == ["synth-val-1-00003", str(len(set(names.values()))), "4", "100.0"]
    assert ["unseen things", "", "", "100.0"] in cells
    assert cells[-1] == ["mean over classes", str(len(classes)), str(4 * len(CLIPS)), "100.0"]


def test_objects_and_expressions_are_counted_one_by_one(tmp_path: Path) -> None:
    sample = CLIPS[0]
    for task in ("vos", "refvos"):
        ask(task, tmp_path / task)
    objects, expressions = (
        json.loads((tmp_path / task / "sequences" / f"{sample.name}.json").read_text()) for task in ("vos", "refvos")
    )
    assert 0 < len(objects) <= len(sample.object_ids()) and all(key.startswith(sample.name) for key in objects)
    said = {key.partition("/")[2] for key in expressions}
    assert said <= {line for lines in sample.expressions.values() for line in lines}
    assert len(sample.expressions) <= len(said) <= 2 * len(sample.expressions)


def test_answers_to_other_prompts_have_files_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Job] = []
    monkeypatch.setattr(synth_world, "run_benchmark", lambda job, *_: made.append(job))
    monkeypatch.chdir(tmp_path)
    for prompt in ("mask", "box"):
        evaluate("synth", "vos", 1, 0, {"num_frames": 2}, prompt=prompt)
    masks, boxes = made
    assert (masks.folder.name, boxes.folder.name) == ("vos", "vos_box") and masks.made_from != boxes.made_from
    (recording,) = boxes.recordings
    question = boxes.benchmark.ask(recording, boxes.data)
    assert all(isinstance(said, Box) for start in question.starts for said in question.says(start))


def test_a_silent_model_scores_nothing(tmp_path: Path) -> None:
    class Silent(Oracle):
        def answer(self, index: int) -> FrameResult:
            return FrameResult(index, np.zeros((96, 160), np.uint8), ())

    for task in TASKS:
        assert ask(task, tmp_path / task, Silent).figures[task] < 10, task


def test_a_clip_begins_where_something_is_shown(tmp_path: Path) -> None:
    """Frames before it are not looked at, and what appears later is shown then."""
    asked = {number: exam("vos", CLIPS[number]).prompts for number in range(len(CLIPS))}
    assert any(len(prompts) > 1 for prompts in asked.values()) or any(min(prompts) for prompts in asked.values())
    records = ask("vos", tmp_path).records
    assert [record.num_frames for record in records] == [4 - min(prompts) for prompts in asked.values()]


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    job = job_of(CLIPS, "vis", tmp_path, {})
    made: list[int] = []

    class Counting(Oracle):
        def __init__(self, sample: VideoSample, task: str, **options: int) -> None:
            super().__init__(sample, task, **options)
            made.append(1)

    first = ask("vis", tmp_path, Counting, job)
    assert len(made) == len(CLIPS)
    (tmp_path / "videos" / f"{CLIPS.name_of(2)}.json").unlink()
    (tmp_path / "sequences" / f"{CLIPS.name_of(4)}.json").write_text('{"dog": [')
    second = ask("vis", tmp_path, Counting, job)
    assert len(made) == len(CLIPS) + 2 and second.scores == first.scores
    ask("vis", tmp_path, Counting, job, shift=1)
    assert len(made) == 2 * len(CLIPS) + 2, "other settings"
    ask("vis", tmp_path, Counting, job_of(CLIPS, "vis", tmp_path, {"seed": 1}), shift=1)
    assert len(made) == 3 * len(CLIPS) + 2, "other clips"


def test_one_clip_is_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: list[int] = []
    draw = SynthVS.__getitem__

    def noted(self: SynthVS, index: int) -> VideoSample:
        drawn.append(index)
        return draw(self, index)

    monkeypatch.setattr(SynthVS, "__getitem__", noted)
    job = job_of(CLIPS, "vos", tmp_path, {})
    samples = {recording.key: draw(CLIPS, recording.key) for recording in job.recordings}
    answer(
        job,
        lambda recording, question: Oracle(samples[recording.key], "vos"),
        {},
        World(),
        Console(file=io.StringIO()),
    )
    assert sorted(drawn) == list(range(len(CLIPS))), "each clip is drawn once"


def test_a_clip_without_a_question_has_no_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = CLIPS[0]
    bare = VideoSample(sample.frames, sample.labels, sample.categories, name="bare", panoptic=sample.panoptic)
    monkeypatch.setattr(SynthVS, "__getitem__", lambda self, index: bare)
    outcome = ask("refvos", tmp_path)
    assert math.isnan(outcome.figures["refvos"]) and outcome.frames == 0
    assert json.loads((tmp_path / "sequences" / f"{CLIPS.name_of(0)}.json").read_text()) == {}


def test_settings_are_checked_before_anything_is_loaded(tmp_path: Path) -> None:
    for overrides, message in (
        (["task=seg"], "unknown task seg: choose one of vos, "),
        (["videos=0"], "at least 1"),
        (["data.split=dev"], "no split 'dev'"),
        (["data.fps=3"], "fps"),
        (["+data.fps=3"], "unknown setting data.fps"),
        (["+data.photos=/nowhere"], "photo"),
        (["weights=/nowhere"], "/nowhere"),
        (["task=vis", "prompt=box"], "task vis shows no objects"),
        (["prompt=line"], "prompt must be"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            main(["dataset=synth", f"out={tmp_path}", *overrides])
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="unknown task"):
        exam("seg", CLIPS[0])


def test_frames_are_looked_at_as_large_as_those_of_public_sets() -> None:
    """And as `univs segment` shows them to the shipped model; null: as they are."""
    settings = compose("evaluate", ["dataset=synth"])
    assert settings["size"] == 480 == compose("evaluate", ["dataset=davis2016", "data.root=-"])["size"]
    assert signature(evaluate).parameters["size"].default == 480


def test_the_command_scores_vos_and_goes_on_with_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "new.safetensors"
    numbers = compose("train", ["model=tiny", "data.root=-"])["model"]
    own_files.save(zoo.build_model(numbers), weights, numbers)
    command = ["evaluate", "dataset=synth", "videos=1", f"weights={weights}", "data.num_frames=3", "size=96"]
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == 0
    figures = json.loads((tmp_path / "results" / "synth" / "vos" / "summary.json").read_text())
    settings = figures["settings"]
    assert settings["seed"] == 0 and settings["data"]["num_frames"] == 3 and settings["size"] == 96
    assert figures["videos"] == 1 and 0 <= figures["score"] <= 100 and len(figures["keys"]) == figures["count"]
    monkeypatch.setattr(running, "run_video", lambda *_: pytest.fail("computed again"))
    assert cli.main(command) == 0
    with pytest.raises(UserError):
        evaluate("synth", "vos", 1, 0, {"size": (8, 8)})
