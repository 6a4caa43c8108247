"""The built-in world, all six tasks: `univs evaluate dataset=synth task=...`. Scores are mask IoU (`synth_exam`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from univs.data.synth import SynthVS
from univs.data.synth.vocabulary import vocabulary
from univs.errors import UserError
from univs.evaluation.metrics.score_printing import print_whole
from univs.evaluation.metrics.scores import Scores
from univs.evaluation.metrics.tallies import Tally, mean, total
from univs.evaluation.run.benchmark import Benchmark, Figure, Measure
from univs.evaluation.run.benchmark_run import Job, Outcome
from univs.evaluation.run.figure_writer import FigureWriter
from univs.evaluation.run.questions import PromptKind, Question, shows_nothing
from univs.evaluation.run.records import VideoRecord
from univs.evaluation.run.runner import RESULTS, run_benchmark
from univs.evaluation.run.synth_exam import EXAMS, SHOWING, exam
from univs.formats import Recording, RecordingSet
from univs.formats.answer_writer import AnswerWriter
from univs.formats.sample import VideoSample
from univs.settings import Device, Is, Seed, ShortSide, Text, Within, check, settings_of
from univs.terminal import plain_table


def evaluate(
    dataset: str,
    task: str,
    videos: Annotated[int, Is("the number of clips"), Within(1)],
    seed: Seed,
    data: Mapping[str, Any],
    weights: Text = "tiny",
    size: ShortSide | None = 480,
    options: Mapping[str, Any] | None = None,
    device: Device = "auto",
    out: Text | Path | None = None,
    prompt: PromptKind = "mask",
) -> Outcome | None:
    """Scores a task on the first `videos` clips of SynthVS at a seed; `data` are further arguments of `SynthVS`.

    Settings are those of configs/dataset/synth.yaml; `size` is the short side (pixels) at which the model sees a frame,
    `prompt` how tasks that show objects show them. Prints a table and writes it to `out`/summary.json. None in all
    processes of torchrun but the first. Raises UserError for unknown tasks, settings and weights.
    """
    if task not in EXAMS:
        raise UserError(f"unknown task {task}: choose one of {', '.join(EXAMS)}")
    check(data, settings_of(SynthVS, leave_out=("seed", "length")), "data")
    if data.get("photos"):
        raise UserError("dataset synth: what a photo shows is not known, so data.photos cannot be scored")
    clips = SynthVS(seed=seed, length=videos, **data)
    if prompt != "mask" and task not in SHOWING:
        raise shows_nothing(f"task {task}", prompt)
    folder = Path(out) if out else RESULTS / dataset / (task if prompt == "mask" else f"{task}_{prompt}")
    job = job_of(clips, task, folder, {"seed": seed, "data": dict(data), "prompt": prompt}, prompt)
    return run_benchmark(job, weights, device, size, options)


def job_of(clips: SynthVS, task: str, folder: Path, made_from: Mapping[str, Any], prompt: PromptKind = "mask") -> Job:
    """All clips, asked as the exam of the task asks. made_from: what the clips and the prompts depend on."""
    drawn = DrawnClips(clips)
    recordings = [drawn.recording(number) for number in range(len(clips))]

    def ask(recording: Recording, data: RecordingSet) -> Question:
        prompts = exam(task, drawn.sample(recording), prompt).prompts
        return Question(tuple(sorted(prompts)), prompts.__getitem__)

    def writer(predictions: Path, data: RecordingSet) -> AnswerWriter:
        return FigureWriter(folder / "sequences", lambda recording: exam(task, drawn.sample(recording), prompt))

    return Job(
        Benchmark("synth", task, ask, writer, KeyFigures(task), (Figure(task, "score", 1),)),
        RecordingSet("SynthVS", clips.split, Path(), recordings),
        recordings,
        folder,
        made_from,
    )


class DrawnClips:
    """Clips as recordings; the one that was asked for last is kept in memory."""

    def __init__(self, clips: SynthVS) -> None:
        self._clips = clips
        self._last: tuple[int, VideoSample] | None = None

    def recording(self, number: int) -> Recording:
        """A clip whose frames are drawn when they are asked for."""
        names = tuple(Path(f"{index:05d}.png") for index in range(self._clips.num_frames))
        return Recording(self._clips.name_of(number), names, key=number, drawn=partial(self._frame, number))

    def sample(self, recording: Recording) -> VideoSample:
        """The clip of a recording, with all that is true of it."""
        assert isinstance(recording.key, int)
        return self._clip(recording.key)

    def _frame(self, number: int, index: int) -> np.ndarray:
        return self._clip(number).frames[index]

    def _clip(self, number: int) -> VideoSample:
        if self._last is None or self._last[0] != number:
            self._last = number, self._clips[number]
        return self._last[1]


class KeyFigures(Measure):
    """Means over keys: objects, expressions or classes."""

    def __init__(self, task: str) -> None:
        self._over = EXAMS[task][1]

    def score(self, data: RecordingSet, recordings: Sequence[Recording], folder: Path, writer: FigureWriter) -> Scores:
        """The mean over all keys of what all clips add up to."""
        tallies = {name: tally_of(figures) for name, figures in writer.all(recordings).items()}
        every = summarize(tallies.values())
        rows = {name: {key: summarize([tally])[key] for key in ("count", "score")} for name, tally in tallies.items()}
        return Scores(every, {"score": every["score"], "count": every["count"], **every["parts"]}, rows)

    def fields(self, scores: Scores) -> Mapping[str, Any]:
        """Score, parts and every key's own."""
        return scores.figures

    def show(self, title: str, scores: Scores, records: Sequence[VideoRecord]) -> None:
        """One row per clip, then the means."""
        table = plain_table(title, "clip", self._over, "frames", "score", "frames/s", no_wrap=True)
        for record in records:
            row = scores.rows[record.name]
            figures = f"{row['score']:.1f}", f"{record.speed:.2f}"
            table.add_row(record.name, str(row["count"]), str(record.num_frames), *figures)
        table.add_section()
        for name, score in scores.figures["parts"].items():
            table.add_row(name, "", "", f"{score:.1f}", "")
        counts = str(scores.summary["count"]), str(sum(record.num_frames for record in records))
        table.add_row(f"mean over {self._over}", *counts, f"{scores.summary['score']:.1f}", "")
        print_whole(table)


def tally_of(figures: Mapping[str, Any]) -> Tally:
    """A tally as it was before it became JSON."""
    return {key: (float(numerator), float(denominator)) for key, (numerator, denominator) in figures.items()}


def summarize(tallies: Iterable[Tally]) -> dict[str, Any]:
    """The score (percent), the same over parts of the classes where keys are classes, and every key's own."""
    tally = total(tallies)
    words = vocabulary()
    parts = {
        "seen things": set(words.things) - words.unseen,
        "unseen things": words.unseen,
        "stuff": set(words.stuff),
    }
    return {
        "score": 100 * mean(tally),
        "count": sum(denominator > 0 for _, denominator in tally.values()),
        "parts": {name: 100 * mean(tally, keys) for name, keys in parts.items() if any(key in tally for key in keys)},
        "keys": {key: 100 * a / b for key, (a, b) in sorted(tally.items()) if b > 0},
    }
