"""Rounds of the DAVIS interactive protocol on one video: a robot corrects, a method answers, each round is measured.

Source: Caelles et al., "The 2018 DAVIS Challenge on Video Object Segmentation". Shapes: I rounds, T labelled frames, N
objects, H W pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.evaluation.metrics.davis import measure_objects
from univs.evaluation.metrics.interactive import next_frame
from univs.formats import Recording
from univs.interactive.interactions import Click, Stroke
from univs.interactive.robot import robot_click, robot_scribbles
from univs.masks.meanings import IGNORE

Labels = NDArray[np.integer]
Said = Sequence[tuple[int, Stroke | Click]]
Robot = Literal["scribbles", "clicks"]


class Method(Protocol):
    """What corrects one video (`interactive.corrections.CorrectedVideo`)."""

    def interact(self, index: int, said: Said, *, propagate: bool = True) -> None:
        """Takes in what was said on a frame; with `propagate` all frames may change, otherwise this one alone."""

    def labels(self, index: int) -> Labels:
        """H W ids of a frame after that."""


@dataclass(frozen=True)
class Rules:
    """How the protocol is played.

    interactions: rounds, at most. seconds: an object and a round may take; all rounds together count. group: so many
    rounds stay on a frame, and the last of them alone goes through the video (3: MiVOS). robot: draws or clicks.
    """

    interactions: int = 8
    seconds: float = 30.0
    group: int = 1
    robot: Robot = "scribbles"


@dataclass(frozen=True)
class FirstScribbles:
    """What a person drew first, if there is such: on which frame (index into the video), and what."""

    frame: int
    said: Said


@dataclass(frozen=True)
class PlayedVideo:
    """What came of a video: figures 2 I T N (J and F), and for each round its frame and how long it took."""

    figures: NDArray[np.float64]
    frames: tuple[int, ...]
    seconds: tuple[float, ...]


def play(
    recording: Recording,
    object_ids: Sequence[int],
    method: Method,
    rules: Rules,
    first: FirstScribbles | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> PlayedVideo:
    """Play the rounds of a video.

    Args:
        recording: with labels on all of its frames or some; figures are of these.
        object_ids: the objects that are followed.
        method: knows nothing of the video's labels.
        first: what is said in the first round; None: the robot's, on the frame that shows the objects best.
        clock: seconds.
    Raises UserError for a video without labels.
    """
    frames = recording.annotated
    if not frames:
        raise UserError(f"{recording.name} has no labels, which the robot corrects by")
    height, width = true_labels(recording, frames[0]).shape
    place = frames.index(best_frame(recording, object_ids)) if first is None else -1
    index = frames[place] if first is None else first.frame
    prediction: Labels = np.zeros((height, width), np.uint8)
    budget, spent = rules.seconds * rules.interactions * len(object_ids), 0.0
    figures: list[NDArray[np.float64]] = []
    seconds: list[float] = []
    asked: list[int] = []
    drawn: set[int] = set()
    for number in range(rules.interactions):
        if number or first is None:
            said = correct(true_labels(recording, index), prediction, object_ids, rules.robot)
        else:
            said = first.said
        leaves = (number + 1) % rules.group == 0 or number + 1 == rules.interactions
        begun = clock()
        method.interact(index, said, propagate=leaves)
        took = clock() - begun
        found = np.zeros((2, len(frames), len(object_ids)))
        for t, frame in enumerate(frames):
            begun = clock()
            labels = method.labels(frame)
            took += clock() - begun
            found[:, t] = measure_objects(labels, true_labels(recording, frame), object_ids)
        spent += took
        if spent > budget:
            break  # too late: the answer does not count
        figures.append(found)
        seconds.append(took)
        asked.append(index)
        if index in frames:
            drawn.add(frames.index(index))
        if leaves or index not in frames:
            index = frames[next_frame(0.5 * found.sum(0).mean(1), drawn)]
        prediction = method.labels(index)
    stacked = np.stack(figures, 1) if figures else np.zeros((2, 0, len(frames), len(object_ids)))
    return PlayedVideo(stacked, tuple(asked), tuple(seconds))


def correct(truth: Labels, prediction: Labels, object_ids: Sequence[int], robot: Robot) -> Said:
    """What the robot says about a frame, H W ids each: strokes of a scribble's size, or one click for each object."""
    height, width = truth.shape
    if robot == "scribbles":
        return [
            (scribble.object_id, Stroke(_pixels(scribble.path * (width - 1, height - 1))))
            for scribble in robot_scribbles(truth, prediction, object_ids)
        ]
    said: list[tuple[int, Stroke | Click]] = []
    for number in object_ids:
        click = robot_click(truth == number, prediction == number)
        if click is not None:
            said.append((int(truth[int(click.y), int(click.x)]), Click(click.x, click.y)))
    return said


def _pixels(path: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """The pixels of a path (x, y), each that follows itself once."""
    pixels = np.rint(path)
    kept = np.concatenate([[True], (np.diff(pixels, axis=0) != 0).any(1)])
    return tuple((float(x), float(y)) for x, y in pixels[kept])


def best_frame(recording: Recording, object_ids: Sequence[int]) -> int:
    """The labelled frame on which most objects are to be seen, and of these the one whose smallest is largest."""

    def worth(frame: int) -> tuple[int, int]:
        labels = true_labels(recording, frame)
        areas = [int(np.count_nonzero(labels == number)) for number in object_ids]
        seen = [area for area in areas if area]
        return len(seen), min(seen, default=0)

    return max(recording.annotated, key=worth)


def true_labels(recording: Recording, frame: int) -> Labels:
    """H W ids; pixels of which nothing is known count as background, as in the official tool."""
    labels = recording.labels_of(frame)
    assert labels is not None
    return np.where(labels.objects == IGNORE, 0, labels.objects)


def objects_of(recording: Recording) -> tuple[int, ...]:
    """All ids on the labelled frames."""
    found: set[int] = set()
    for frame in recording.annotated:
        found |= set(np.unique(true_labels(recording, frame)).tolist())
    return tuple(sorted(found - {0}))


def as_json(played: PlayedVideo) -> Mapping[str, object]:
    """Plain values."""
    return {"figures": played.figures.tolist(), "frames": list(played.frames), "seconds": list(played.seconds)}


def from_json(found: Mapping[str, Any], shape: tuple[int, int]) -> PlayedVideo:
    """What `as_json` told, of a video of T frames and N objects. Raises ValueError for anything else."""
    figures = np.array(found["figures"], float).reshape(2, -1, *shape)
    frames, seconds = tuple(map(int, found["frames"])), tuple(map(float, found["seconds"]))
    if not len(frames) == len(seconds) == figures.shape[1]:
        raise ValueError("rounds of several numbers")
    return PlayedVideo(figures, frames, seconds)
