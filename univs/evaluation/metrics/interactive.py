"""`univs score interactive`: how quickly masks become good while a user corrects them.

Source: Caelles et al., "The 2018 DAVIS Challenge on Video Object Segmentation"; rules are those of davisinteractive
1.0.4. A sample is a sequence with one of its first scribbles. In each interaction with it the method submits masks for
all frames, and the robot then draws on the worst of them. Figures are fractions, times seconds.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.davis import measure_objects
from univs.evaluation.metrics.score_files import frame_names, need_file, need_folder, read_json, read_labels
from univs.evaluation.metrics.scores import Progress, Scores, quiet
from univs.fields import finite, whole

MOST = 1000
"""Objects and scribbles of a sequence; DAVIS has ten and three."""
METRICS = ("J", "F", "J_AND_F")
LABELS = "DAVIS/Annotations/480p"
"""Folder of the true label maps."""
Sample = tuple[str, int]
"""Name of a sequence and number of its first scribble (from 1)."""


@dataclass(frozen=True)
class Round:
    """One submission: which interaction of a sample (from 1), how long it took, which frames the robot may look at."""

    sample: Sample
    interaction: int
    seconds: float
    candidates: tuple[int, ...] | None


@dataclass(frozen=True)
class SampleFiles:
    """A sample to score: the true label maps and the file of all its submissions."""

    sample: Sample
    truth: Path
    prediction: Path
    frames: int
    objects: int
    interactions: int


@dataclass(frozen=True)
class Curve:
    """Quality over time: the points, the area under them by the time they cover, and the value at a moment."""

    times: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Trapezoids' area divided by the largest time."""
        steps = np.diff(self.times) * (self.values[1:] + self.values[:-1]) / 2
        return float(steps.sum() / self.times.max())

    def at(self, seconds: float) -> float:
        """The value after so many seconds, between two points on the line; constant after the last."""
        return float(np.interp(seconds, self.times, self.values))


Figures = NDArray[np.float64]
"""J and F of a sample, 2 I T N: I interactions, T frames, N objects."""


def score(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """AUC and J&F at the threshold of a session whose submissions `gt`/rounds.json lists in order."""
    need_folder(gt, "DAVIS/Annotations/480p, dataset.json and rounds.json")
    samples, objects, frames = read_dataset(gt)
    rounds, settings = read_rounds(gt / "rounds.json", samples)
    need_folder(pred, "SEQUENCE_SCRIBBLE.npz")
    files = []
    for sample in samples:
        if count := sum(submitted.sample == sample for submitted in rounds):
            name, number = sample
            path = need_file(pred / f"{name}_{number:03d}.npz", f"masks of {count} interactions")
            files.append(SampleFiles(sample, gt / LABELS / name, path, frames[name], objects[name], count))
    work = [file.frames * file.objects * file.interactions for file in files]
    measured = score_videos(score_sample, files, workers, progress, work)
    figures = {file.sample: result for file, result in zip(files, measured, strict=True)}
    metric, threshold, limit = settings["metric"], settings["time_threshold"], settings["max_t"]

    def report(metric: str, threshold: float, limit: float | None) -> dict[str, Any]:
        counts = {sample: objects[sample[0]] for sample in samples}
        chosen = {sample: choose(values, metric) for sample, values in figures.items()}
        timeout = None if limit is None else limit * float(np.mean(list(objects.values())))
        curve = quality_curve(chosen, rounds, counts, timeout)
        return {
            "auc": curve.area,
            "metric_at_threshold": {"threshold": threshold, metric: curve.at(threshold)},
            "curve": {"time": curve.times, metric: curve.values},
        }

    overall = report(metric, threshold, limit)
    rows = {
        f"{name}_{number:03d}": {f"{metric} {i + 1}": float(value) for i, value in enumerate(values.mean((1, 2)))}
        for (name, number), values in ((sample, choose(result, metric)) for sample, result in figures.items())
    }
    return Scores(
        {
            "global_summary": overall,
            "avg_nb_objects": float(np.mean(list(objects.values()))),
            "steps": list_steps(figures, rounds, metric),
            "summary_J_only_no_time_limit": report("J", 60, None),
            "summary_F_only_time_limit_100_per_object_threshold_7": report("F", 7, 100),
            "summary_J_AND_F_no_limits": report("J_AND_F", 60, None),
        },
        {"AUC": overall["auc"], f"{metric}@{threshold:g}s": overall["metric_at_threshold"][metric]},
        rows,
    )


def choose(figures: Figures, metric: str) -> NDArray[np.float64]:
    """The figures of one metric of METRICS: 2 I T N -> I T N."""
    jaccards, boundaries = figures
    return {"J": jaccards, "F": boundaries, "J_AND_F": 0.5 * jaccards + 0.5 * boundaries}[metric]


def quality_curve(
    figures: Mapping[Sample, NDArray[np.float64]],
    rounds: Sequence[Round],
    objects: Mapping[Sample, int],
    timeout: float | None,
) -> Curve:
    """The curve of a session, from nothing at time 0.

    Args:
        figures: I T N of each sample that had an interaction.
        rounds: the submissions.
        objects: number of objects of all samples; those without an interaction count as 0.
        timeout: time of the last point, which repeats the last value; None: as if every interaction had taken as long
            as the longest did.
    Every object of every sample weighs alike in the values, every sample in the times. A sample that stopped early
    keeps its last value and takes no more time.
    """
    count = max((values.shape[0] for values in figures.values()), default=0)
    lines: list[NDArray[np.float64]] = []
    seconds = {sample: np.zeros(count) for sample in objects}
    for sample, number in objects.items():
        lasting = np.zeros((count, number))
        if sample in figures:
            means = figures[sample].mean(1)
            lasting = means[np.minimum(np.arange(count), len(means) - 1)]
        lines.extend(lasting.T)
    for submitted in rounds:
        seconds[submitted.sample][submitted.interaction - 1] = submitted.seconds
    if timeout is None:
        timeout = count * max((submitted.seconds for submitted in rounds), default=0.0)
    values = np.mean(lines, 0)
    times = np.cumsum(np.mean(list(seconds.values()), 0))
    return Curve(np.concatenate([[0.0], times, [timeout]]), np.concatenate([[0.0], values, values[-1:]]))


def list_steps(figures: Mapping[Sample, Figures], rounds: Sequence[Round], metric: str) -> list[dict[str, Any]]:
    """For each submission the mean figures over frames and objects, and the frame on which the robot draws next."""
    steps: list[dict[str, Any]] = []
    drawn: dict[Sample, set[int]] = defaultdict(set)
    for submitted in rounds:
        at = submitted.interaction - 1
        jaccards, boundaries = figures[submitted.sample][:, at]
        by_frame = choose(figures[submitted.sample], metric)[at].mean(1)
        frame = next_frame(by_frame, drawn[submitted.sample], submitted.candidates)
        drawn[submitted.sample].add(frame)
        steps.append(
            {
                "sequence": submitted.sample[0],
                "scribble_idx": submitted.sample[1],
                "interaction": submitted.interaction,
                "next_frame": frame,
                "jaccard_mean": float(jaccards.mean()),
                "contour_mean": float(boundaries.mean()),
                "j_and_f_mean": float((0.5 * jaccards + 0.5 * boundaries).mean()),
            }
        )
    return steps


def next_frame(by_frame: NDArray[np.float64], drawn: set[int], candidates: Sequence[int] | None = None) -> int:
    """The worst frame on which the robot has not drawn yet, the first of equals.

    Args:
        by_frame: figure of each of T frames, averaged over the objects.
        drawn: frames on which it has; once they are all, as if there were none.
        candidates: the only frames to look at (numbers that no frame has are ignored); where it has drawn on all of
            them, it draws on the worst of them again.
    """
    frames = range(len(by_frame))
    chosen = [frame for frame in frames if candidates is None or frame in candidates] or list(frames)
    if len(drawn) < len(by_frame):
        chosen = [frame for frame in chosen if frame not in drawn] or chosen
    return min(chosen, key=lambda frame: (by_frame[frame], frame))


def score_sample(files: SampleFiles) -> Figures:
    """J and F, 2 I T N, of all submissions for a sample. Raises UserError for masks that do not fit the truth."""
    names = frame_names(files.truth)
    figures = np.zeros((2, files.interactions, files.frames, files.objects))
    masks = _load_masks(files)
    for t, name in enumerate(names):
        truth = read_labels(files.truth / f"{name}.png", (masks.shape[2], masks.shape[3]))
        for i in range(files.interactions):
            figures[:, i, t] = measure_objects(masks[i, t], truth, range(1, files.objects + 1))
    return figures


def read_dataset(gt: Path) -> tuple[list[Sample], dict[str, int], dict[str, int]]:
    """The samples of dataset.json, and the numbers of objects and of frames of every sequence."""
    path = gt / "dataset.json"
    found = read_json(path, "sequences with num_frames, num_objects and num_scribbles")
    try:
        sequences = found["sequences"]
        objects = {name: _count(told["num_objects"]) for name, told in sequences.items()}
        samples = [(name, n + 1) for name, told in sequences.items() for n in range(_count(told["num_scribbles"]))]
        frames = {name: len(frame_names(gt / LABELS / name)) for name in sequences}
        for name, told in sequences.items():
            if frames[name] != told["num_frames"]:
                raise UserError(f"{gt / LABELS / name} holds {frames[name]} frames; {path} says {told['num_frames']}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} does not describe the sequences: it lacks {error}") from error
    if not samples:
        raise UserError(f"{path} names no sequence with a scribble")
    return samples, objects, frames


def _count(value: Any) -> int:
    """How many objects or scribbles a sequence has. Raises ValueError for what is no such number."""
    number = whole(value)
    if not 0 <= number <= MOST:
        raise ValueError(f"num_objects and num_scribbles of 0 to {MOST}, not {number}")
    return number


def read_rounds(path: Path, samples: Sequence[Sample]) -> tuple[list[Round], dict[str, Any]]:
    """The submissions of rounds.json and its settings: metric, time_threshold and max_t (seconds an object, or None).

    Raises UserError for an unknown sample or metric, and for interactions of a sample that do not count 1, 2, 3, ...
    """
    found = read_json(path, "rounds, metric, time_threshold and max_t")
    counts: dict[Sample, int] = defaultdict(int)
    rounds = []
    try:
        limit = found["max_t"]
        settings = {"metric": found["metric"], "time_threshold": finite(found["time_threshold"])}
        settings["max_t"] = None if limit is None else finite(limit)
        for told in found["rounds"]:
            sample = (told["sequence"], whole(told["scribble_idx"]))
            counts[sample] += 1
            if sample not in samples:
                raise UserError(f"{path}: dataset.json has no scribble {sample[1]} of sequence {sample[0]}")
            if told["interaction"] != counts[sample]:
                raise UserError(
                    f"{path}: interaction {told['interaction']} of {sample[0]} with scribble {sample[1]}; "
                    f"expected {counts[sample]}"
                )
            candidates = told.get("candidates")
            allowed = None if candidates is None else tuple(whole(frame) for frame in candidates)
            rounds.append(Round(sample, counts[sample], finite(told["timing"]), allowed))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} does not describe the submissions: it lacks {error}") from error
    if settings["metric"] not in METRICS:
        raise UserError(f"{path}: metric {settings['metric']}; there are {', '.join(METRICS)}")
    if not rounds:
        raise UserError(f"{path} lists no submission")
    return rounds, settings


def _load_masks(files: SampleFiles) -> NDArray[np.integer[Any]]:
    """All submissions for a sample, I T H W ids."""
    expected = f"masks of {files.interactions} interactions on {files.frames} frames"
    try:
        archive = np.load(files.prediction)
        if isinstance(archive, np.ndarray):
            raise ValueError("a single array and no .npz file")
        with archive:
            masks: NDArray[np.integer[Any]] = np.asarray(archive["masks"])
    except KeyError as error:
        raise UserError(f"{files.prediction} has no array `masks`; expected {expected}") from error
    except (ValueError, OSError, EOFError, BadZipFile, zlib.error) as error:
        raise UserError(f"{files.prediction} cannot be read ({error}); expected {expected}") from error
    if masks.dtype.kind not in "biu":
        raise UserError(f"{files.prediction} holds an array of {masks.dtype}; expected whole numbers, {expected}")
    if masks.ndim != 4 or masks.shape[0] < files.interactions or masks.shape[1] != files.frames:
        raise UserError(f"{files.prediction} holds an array of {masks.shape}; expected {expected}")
    if masks.max(initial=0) > files.objects:
        raise UserError(
            f"{files.prediction} holds id {masks.max()}; {files.sample[0]} has the objects 1 to {files.objects}"
        )
    return masks
