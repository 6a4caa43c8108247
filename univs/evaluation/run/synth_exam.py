"""What each of the six tasks asks of a clip of SynthVS, and how the answers are scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from univs.data.synth.dice import Dice
from univs.data.synth.vocabulary import vocabulary
from univs.errors import UserError
from univs.evaluation.metrics.segments import FollowedObjects, Overlaps, matched_tracks, panoptic_quality
from univs.evaluation.metrics.tallies import Tally
from univs.evaluation.run.figure_writer import Scorer
from univs.evaluation.run.questions import PromptKind, prompt_of
from univs.formats.sample import VideoSample
from univs.prompts import Categories, Prompt, Text
from univs.results import FrameResult

Asked = Prompt | Text | Categories
LEAST = 0.001  # share of a frame that a segment must cover to be shown
_EXPRESSION_STREAM = 7_003


class Exam(Scorer, Protocol):
    """The questions of one clip, and what the answers were worth: figures per object or expression (whose keys name the
    clip), or per class."""

    prompts: Mapping[int, Sequence[Asked]]  # frame index -> what is said there


class ObjectExam:
    """Objects are shown where they first appear, or named by an expression from the start."""

    def __init__(self, truth: np.ndarray, prompts: Mapping[int, Sequence[Asked]], scoring: FollowedObjects) -> None:
        """truth: T H W ids of segments."""
        self.prompts, self._truth, self._scoring = prompts, truth, scoring

    def take(self, result: FrameResult) -> None:
        nothing = np.zeros(self._truth.shape[1:], bool)
        followed = set(result.object_ids)
        truth = self._truth[result.frame_index]
        self._scoring.update(result.frame_index, lambda i: result.mask(i) if i in followed else nothing, truth)

    def figures(self) -> Tally:
        return self._scoring.compute()


class ClassExam:
    """Classes are named on the first frame; what is found must have their names."""

    def __init__(
        self,
        truth: np.ndarray,
        names: Mapping[int, str],
        classes: Categories,
        measure: Callable[[Overlaps, Mapping[int, str], Mapping[int, str]], Tally],
    ) -> None:
        """truth: T H W ids of segments, with the names of those asked for. measure: one of `segments`."""
        self.prompts: Mapping[int, Sequence[Asked]] = {0: [classes]}
        self._truth, self._true_names, self._measure = truth, names, measure
        self._overlaps = Overlaps()
        self._names: dict[int, str] = {}

    def take(self, result: FrameResult) -> None:
        truth = self._truth[result.frame_index]
        if result.separate is None:
            self._overlaps.update_labels(result.labels, truth)
        else:
            self._overlaps.update(result.separate, truth)
        self._names.update(result.names)  # the last name of a track is what counts

    def figures(self) -> Tally:
        return self._measure(self._overlaps, self._names, self._true_names)


def _shown(sample: VideoSample, truth: np.ndarray, names: Mapping[int, str], prompt: PromptKind) -> ObjectExam:
    prompts: dict[int, list[Asked]] = {}
    keys, first = {}, {}
    for number in names:
        share = (truth == number).mean((1, 2))
        if share.max() >= LEAST:
            start = int(np.argmax(share >= LEAST))
            prompts.setdefault(start, []).append(prompt_of(prompt, number, truth[start] == number))
            keys[number], first[number] = f"{sample.name}/{number} {names[number]}", start + 1
    return ObjectExam(truth, prompts, FollowedObjects(keys, first))


def _vos(sample: VideoSample, prompt: PromptKind) -> Exam:
    return _shown(sample, sample.labels, sample.categories, prompt)


def _pvos(sample: VideoSample, prompt: PromptKind) -> Exam:
    return _shown(sample, _panoptic(sample), {**sample.categories, **sample.stuff}, prompt)


def _refvos(sample: VideoSample) -> Exam:
    """Of each object its plainest expression and another one, drawn."""
    asked: list[tuple[int, str]] = []
    for number, lines in sample.expressions.items():
        dice = Dice(_EXPRESSION_STREAM, *sample.name.encode(), number)
        asked += [(number, line) for line in dict.fromkeys((lines[0], dice.pick(lines)))]
    ids = range(1, len(asked) + 1)
    prompts: list[Asked] = [Text(line, object_id) for object_id, (_, line) in zip(ids, asked, strict=True)]
    keys = {i: f"{sample.name}/{line}" for i, (_, line) in zip(ids, asked, strict=True)}
    truths = {i: number for i, (number, _) in zip(ids, asked, strict=True)}
    scoring = FollowedObjects(keys, dict.fromkeys(ids, 0), truths)
    return ObjectExam(sample.labels, {0: prompts} if prompts else {}, scoring)


def _vis(sample: VideoSample) -> Exam:
    return ClassExam(sample.labels, sample.categories, Categories(vocabulary().things), matched_tracks)


def _vss(sample: VideoSample) -> Exam:
    names = {**sample.categories, **sample.stuff}
    return ClassExam(_panoptic(sample), names, _everything(), Overlaps.class_iou)


def _vps(sample: VideoSample) -> Exam:
    names = {**sample.categories, **sample.stuff}
    return ClassExam(_panoptic(sample), names, _everything(), panoptic_quality)


def _everything() -> Categories:
    words = vocabulary()
    return Categories(words.names, frozenset(range(len(words.things))))


def _panoptic(sample: VideoSample) -> np.ndarray:
    assert sample.panoptic is not None, "every clip of SynthVS has a panoptic map"
    return sample.panoptic


EXAMS: dict[str, tuple[Callable[..., Exam], str]] = {  # task -> its exam, and what the mean is over
    "vos": (_vos, "objects"),
    "pvos": (_pvos, "segments"),
    "refvos": (_refvos, "expressions"),
    "vis": (_vis, "classes"),
    "vss": (_vss, "classes"),
    "vps": (_vps, "classes"),
}


SHOWING = "vos", "pvos"
"""Tasks whose exams take a kind of prompt."""


def exam(task: str, sample: VideoSample, prompt: PromptKind = "mask") -> Exam:
    """The exam of a task on a complete clip of SynthVS. Raises UserError for an unknown task.

    prompt: how objects are shown, by a task of `SHOWING`.
    """
    if task not in EXAMS:
        raise UserError(f"unknown task {task}: choose one of {', '.join(EXAMS)}")
    if task in SHOWING:
        return EXAMS[task][0](sample, prompt)
    return EXAMS[task][0](sample)
