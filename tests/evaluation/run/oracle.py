"""A session that knows the truth of its recording, and exports of SynthVS to ask it about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from univs.data.synth import SynthVS
from univs.evaluation.run.questions import Question
from univs.evaluation.run.running import NewSession
from univs.evaluation.run.table import BENCHMARKS
from univs.formats import Recording, RecordingSet, find_set
from univs.prompts import Categories, Mask, Text
from univs.results import FrameResult
from univs.vocabularies import plain_name


def clips(videos: int = 2, frames: int = 4, seed: int = 1) -> SynthVS:
    """Small clips."""
    return SynthVS("val", (48, 80), frames, seed, 0.3, length=videos)


def export(name: str, root: Path, videos: int = 2, frames: int = 4, split: str | None = None) -> Path:
    """Clips in the layout of a set, on its first split."""
    known = find_set(name)
    made = clips(videos, frames)
    samples = (made[place] for place in range(videos))
    known.load().write(samples, root, split or known.splits[0], **known.options)
    return root


class Oracle:
    """Answers the truth, moved `shift` pixels to the right, `late` frames after a frame has come.

    Ids that it may choose itself are the true ones plus `offset`, in reverse order if `offset` is not 0.
    """

    pushed = 0
    """Frames that all oracles were asked about."""

    def __init__(self, name: str, data: RecordingSet, recording: Recording, question: Question, shift: int = 0,
                 offset: int = 0, late: int = 0) -> None:  # fmt: skip
        self.task, self.data, self.recording = BENCHMARKS[name].task, data, recording
        self.shift, self.offset, self.late = shift, offset, late
        self.first = question.starts[0] if question.starts else len(recording)
        self.came = self.answered = 0
        self.meant: dict[int, int] = {}  # id in the answer -> id in the truth

    def push(self, frame: np.ndarray, prompts: Sequence[Any] = ()) -> list[FrameResult]:
        index = self.first + self.came
        assert frame.shape == (48, 80, 3)
        for prompt in prompts:
            if isinstance(prompt, Mask):
                assert np.array_equal(prompt.mask, self.truth(index) == prompt.object_id) and prompt.mask.any()
                self.meant[prompt.object_id] = prompt.object_id
            elif isinstance(prompt, Text):
                if self.task == "refvos":
                    said = self.recording.expressions[prompt.object_id - 1]
                    assert said.text == prompt.text
                    self.meant[prompt.object_id] = said.object_id
                else:
                    names = {**self.recording.categories, **self.recording.stuff}
                    assert prompt.text == plain_name(names[prompt.object_id])
            else:
                assert isinstance(prompt, Categories)
                assert set(prompt.names) == {plain_name(name) for name in self.data.classes.values()}
                stuff = set(self.data.classes) - self.data.things
                assert (prompt.things is None) == (not stuff)
                self.names = prompt.names
        self.came += 1
        Oracle.pushed += 1
        return self.answers(self.came - self.late)

    def flush(self) -> list[FrameResult]:
        return self.answers(self.came)

    def answers(self, end: int) -> list[FrameResult]:
        found = [self.answer(index) for index in range(self.answered, end)]
        self.answered = max(self.answered, end)
        return found

    def truth(self, index: int) -> np.ndarray:
        labels = self.recording.labels_of(index)
        assert labels is not None
        whole = self.task in ("pvos", "vps", "vss")
        return labels.panoptic if whole and labels.panoptic is not None else labels.objects

    def answer(self, place: int) -> FrameResult:
        truth = np.where((truth := self.truth(self.first + place)) == 255, 0, truth)
        truth = moved(truth, self.shift)
        ids = [int(number) for number in np.unique(truth) if number]
        names = {**self.recording.categories, **self.recording.stuff}
        if self.task in ("vos", "pvos"):
            labels = np.where(np.isin(truth, list(self.meant)), truth, 0)
            return FrameResult(place, labels, tuple(self.meant))
        if self.task == "refvos":
            separate = {number: truth == true for number, true in self.meant.items()}
            return FrameResult(place, np.zeros_like(truth), tuple(separate), {}, separate)
        if self.task == "vss":
            numbers = {number: 1 + self.names.index(plain_name(names[number])) for number in ids}
            return self.painted(place, truth, numbers, {new: plain_name(names[old]) for old, new in numbers.items()})
        renamed = {number: self.offset - number if self.offset else number for number in ids}
        named = {new: plain_name(names[old]) for old, new in renamed.items()}
        if self.task == "vps":
            return self.painted(place, truth, renamed, named)
        separate = {new: truth == old for old, new in renamed.items()}
        scores = {new: 0.9 - 0.01 * old for old, new in renamed.items()}
        labels = self.painted(place, truth, renamed, named).labels
        return FrameResult(place, labels, tuple(separate), {}, separate, named, scores)

    def painted(self, place: int, truth: np.ndarray, ids: Mapping[int, int], names: Mapping[int, str]) -> FrameResult:
        labels = np.zeros(truth.shape, np.int32)
        for old, new in ids.items():
            labels[truth == old] = new
        return FrameResult(place, labels, tuple(sorted(set(ids.values()))), {}, None, names)


def moved(labels: np.ndarray, shift: int) -> np.ndarray:
    """Labels moved to the right; what comes in from the left repeats the edge."""
    columns = np.maximum(np.arange(labels.shape[1]) - shift, 0)
    return labels[:, columns]


def oracles(name: str, data: RecordingSet, **options: int) -> NewSession:
    """Makes an oracle for each recording."""
    return lambda recording, question: Oracle(name, data, recording, question, **options)
