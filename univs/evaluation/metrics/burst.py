"""`univs score burst`: HOTA and track AP by class on the BURST format, class-guided or exemplar-guided.

Source: Athar et al., "BURST: A Benchmark for Unifying Object Recognition, Segmentation and Tracking in Video", WACV
2023. Rules are those of burstapi and of TrackEval, which both are given: they differ in the exemplar-guided task alone,
where TrackEval takes the class of a predicted track from the true track of its id, and burstapi from the prediction.
Only annotated frames with any true object count for HOTA, and both tools compare boxes there; AP compares the masks of
whole tracks. Overall figures are in percent, those of a class fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from univs.evaluation.metrics.burst_files import Detection, SpooledSequence, Video, read_sequence, spool_sequences
from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.hota import (
    EPSILON,
    SHAPES,
    HotaTally,
    TrackedFrame,
    averaged,
    measure_hota,
    renumber,
)
from univs.evaluation.metrics.scores import Progress, Scores, quiet
from univs.evaluation.metrics.tube_precision import Matches, match, mean_known, precision_at_recalls
from univs.masks.overlaps import areas, box_iou, intersections
from univs.vocabularies.tao import tao_common, tao_names

THRESHOLDS = np.arange(0.5, 0.96, 0.05) - EPSILON
TOOLS = ("burstapi", "trackeval")


class ClassTally(NamedTuple):
    """What is kept of a class in a sequence."""

    hota: HotaTally
    tracks: Matches | None


def score(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet, task: str = "class_guided") -> Scores:
    """All figures by the rules of both tools, NaN if nothing is true. Raises UserError for what is wrong with files."""
    measure = partial(measure_sequence, exemplar=task == "exemplar_guided")
    with TemporaryDirectory(prefix="univs-score-") as folder:
        sequences = spool_sequences(gt, pred, Path(folder))
        weights = [sequence.truth.size + sequence.prediction.size for sequence in sequences]
        parts = score_videos(measure, sequences, workers, progress, weights)
    measured = [tallies for tallies, _ in parts]
    classes = sorted({category for _, present in parts for category in present})
    shown = ("HOTA", "DetA", "AssA", "AP")
    if not classes:  # nothing to be found
        unknown = {key: dict.fromkeys(("all", "common", "uncommon"), float("nan")) for key in shown}
        return Scores(
            {f"{task}/{tool}": {**unknown, "per_class": {}} for tool in TOOLS},
            {f"{key} {part}": value for key, parts in unknown.items() for part, value in parts.items()},
        )
    figures: dict[str, Any] = {}
    for tool in TOOLS:
        tallies = {
            category: [video[tool][category] for video in measured if category in video[tool]] for category in classes
        }
        figures[f"{task}/{tool}"] = tool_figures(tallies, each_threshold=tool == "burstapi")
    final = figures[f"{task}/trackeval"]
    rows = {name: {key: row[key] for key in shown} for name, row in final["per_class"].items()}
    summary = {f"{key} {part}": value for key in shown for part, value in final[key].items()}
    return Scores(figures, summary, rows)


def measure_sequence(sequence: SpooledSequence, exemplar: bool) -> tuple[dict[str, dict[int, ClassTally]], set[int]]:
    """What `measure_video` gives, and the classes that are there. Raises UserError for what is not as expected."""
    video = read_sequence(sequence, exemplar)
    return measure_video(video, exemplar), {one.category for frame in video.truth for one in frame}


def measure_video(video: Video, exemplar: bool) -> dict[str, dict[int, ClassTally]]:
    """Tool -> class -> the tallies of one sequence."""
    tallies = measure_classes(video, video.prediction, exemplar)
    if not exemplar:
        return dict.fromkeys(TOOLS, tallies)
    category_of = {one.track: one.category for frame in video.truth for one in frame}
    renamed = [
        [one._replace(category=category_of[one.track]) for one in frame if one.track in category_of]
        for frame in video.prediction
    ]
    return {"burstapi": tallies, "trackeval": measure_classes(video, renamed, True)}


def measure_classes(video: Video, prediction: Sequence[Sequence[Detection]], exemplar: bool) -> dict[int, ClassTally]:
    """Class -> its tallies, of those that the sequence holds in truth or prediction."""
    ious = [frame_iou(true, found) for true, found in zip(video.truth, prediction, strict=True)]
    present = {one.category for frame in video.truth for one in frame}
    tallies = {}
    for category in sorted(present | {one.category for frame in prediction for one in frame}):
        frames = []
        for true, found, iou in zip(video.truth, prediction, ious, strict=True):
            if not true:
                continue
            rows = [k for k, one in enumerate(true) if one.category == category]
            columns = [k for k, one in enumerate(found) if one.category == category]
            if not exemplar:
                kept = scored(iou[rows][:, columns], category in video.negative, category in video.incomplete)
                columns = [columns[k] for k in kept]
            true_ids = np.array([true[k].track for k in rows], np.int64)
            found_ids = np.array([found[k].track for k in columns], np.int64)
            frames.append(TrackedFrame(true_ids, found_ids, iou[rows][:, columns]))
        tracks = match_tracks(video, prediction, category, category in present or category in video.negative)
        tallies[category] = ClassTally(measure_hota(renumber(frames)), tracks)
    return tallies


def frame_iou(truth: Sequence[Detection], prediction: Sequence[Detection]) -> NDArray[np.float64]:
    """IoU of all objects of a frame, g x p: of the boxes around them, which is what both tools compare for HOTA."""
    return box_iou([one.mask for one in truth], [one.mask for one in prediction])


def scored(iou: NDArray[np.float64], negative: bool, incomplete: bool) -> list[int]:
    """Which detections of a class on a frame are scored (g p -> places among p).

    Those that match nothing (IoU 0.5) are not where the class is not annotated completely, or where it is not on the
    frame and nobody said that it is not in the video.
    """
    every = list(range(iou.shape[1]))
    if not incomplete and (negative or iou.shape[0]):
        return every
    fits = np.where(iou < 0.5 - EPSILON, 0, iou)
    rows, columns = linear_sum_assignment(fits, maximize=True)
    return sorted(columns[fits[rows, columns] > EPSILON].tolist())


def match_tracks(video: Video, prediction: Sequence[Sequence[Detection]], category: int, known: bool) -> Matches | None:
    """Matches whole tracks of a class, for AP; None if there is none.

    Args:
        known: whether the sequence says anything about the class; if not, predicted tracks of it are left out.
    """
    true = _tracks(video.truth, category)
    found = _tracks(prediction, category) if known else []
    if not true and not found:
        return None
    scores = np.array([np.mean([one.score for one in track if one]) for track in found], np.float64)
    order = np.argsort(-scores, kind="stable")
    found_masks = [[one and one.mask for one in found[k]] for k in order]
    true_masks = [[one and one.mask for one in track] for track in true]
    sizes = [np.array([areas(masks).sum() for masks in part], np.int64) for part in (found_masks, true_masks)]
    shared = intersections(found_masks, true_masks)
    union = sizes[0][:, None] + sizes[1] - shared
    iou = np.where(union > 0, shared / np.where(union > 0, union, 1), 0.0)
    no_true, all_found = np.zeros((1, len(true)), bool), np.full((1, len(found)), category in video.incomplete)
    return match(iou, scores[order], no_true, all_found, no_true[0], THRESHOLDS)


def tool_figures(tallies: Mapping[int, Sequence[ClassTally]], each_threshold: bool) -> dict[str, Any]:
    """The figures of one tool from the tallies of each class in each sequence.

    Args:
        each_threshold: whether those of a class are given at each threshold, beside their means.
    """
    hota = {category: sum((one.hota for one in found), HotaTally.nothing()) for category, found in tallies.items()}
    shapes = {category: tally.figures() for category, tally in hota.items()}
    precision = {}
    for category, found in tallies.items():
        curve = precision_at_recalls([one.tracks for one in found if one.tracks is not None], (1, len(THRESHOLDS)))
        precision[category] = np.array([mean_known(row) for row in curve[0]])
    mean_precision = np.mean(list(precision.values()), 0)
    named = {
        tao_names().get(category, str(category)): (values, precision[category]) for category, values in shapes.items()
    }
    named["cls_comb_cls_av"] = (averaged(list(shapes.values())), mean_precision)
    named["cls_comb_det_av"] = (sum(hota.values(), HotaTally.nothing()).figures(), mean_precision)
    per_class = {name: _class_figures(*row, each_threshold) for name, row in named.items()}
    overall = {}
    for key in ("HOTA", "DetA", "AssA", "AP"):
        values = {c: precision[c].mean() if key == "AP" else shapes[c][key].mean() for c in tallies}
        parts = {
            "all": list(values.values()),
            "common": [value for c, value in values.items() if c in tao_common()],
            "uncommon": [value for c, value in values.items() if c not in tao_common()],
        }
        overall[key] = {part: 100 * float(np.mean(some)) if some else float("nan") for part, some in parts.items()}
    return {**overall, "per_class": per_class}


def _tracks(frames: Sequence[Sequence[Detection]], category: int) -> list[list[Detection | None]]:
    """The tracks of a class in the order in which they appear, a detection or None per frame."""
    tracks: dict[int, list[Detection | None]] = {}
    for t, frame in enumerate(frames):
        for one in frame:
            if one.category == category:
                tracks.setdefault(one.track, [None] * len(frames))[t] = one
    return list(tracks.values())


def _class_figures(
    shapes: Mapping[str, NDArray[np.float64]], precision: NDArray[np.float64], each_threshold: bool
) -> dict[str, Any]:
    means = {name: float(np.mean(shapes[name])) for name in SHAPES}
    if not each_threshold:
        return {**means, "AP": float(np.mean(precision))}
    return {**shapes, **{f"{name}_mean": value for name, value in means.items()}, "AP_all": precision}
