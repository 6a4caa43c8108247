"""`univs score` on the DAVIS-2017 layout: the objects of the first frame given, found without help, or described.

Rules are those of davisvideochallenge/davis2017-evaluation (`davis` has the measures). Label maps are
indexed PNG, figures fractions; every mean over the data set weighs objects alike, not sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.davis import measure_objects, measure_pairs, summarize
from univs.evaluation.metrics.score_files import LabelFolders, Labels, need_folder, read_labels, read_pair
from univs.evaluation.metrics.scores import Progress, Scores, quiet
from univs.formats.davis import sequence_names
from univs.masks.meanings import IGNORE

MEASURES = ("J", "F")
PARTS = ("Mean", "Recall", "Decay")
MOST_PROPOSALS = 20
INNER = slice(1, -1)
"""Frames that are evaluated where the first and the last are not."""
ANNOTATORS = tuple(f"anno_{number}" for number in range(4))


Figures = NDArray[np.float64]
"""J and F of the objects of a sequence on its evaluated frames: 2 N T."""


def score_semisupervised(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """The objects of the first true label map, on all frames but the first and the last."""
    sequences = find_sequences(gt, "Annotations", pred, ends=False)
    return _scores(sequences, _measure(semisupervised, sequences, workers, progress))


def score_unsupervised(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """The objects of the first true label map, each with the proposal that suits it best, on all frames."""
    sequences = find_sequences(gt, "Annotations_unsupervised", pred, ends=True)
    return _scores(sequences, _measure(unsupervised, sequences, workers, progress))


def score_ref_davis17(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """The expressions of four annotators (`pred`/anno_0 to anno_3), each as proposals, and the mean of the four.

    Source: Khoreva et al., "Video Object Segmentation with Language Referring Expressions", ACCV 2018, as evaluated by
    ReferFormer.
    """
    need_folder(pred, f"{ANNOTATORS[0]} to {ANNOTATORS[-1]}, each with SEQUENCE/*.png")
    found = [find_sequences(gt, "Annotations_unsupervised", pred / name, ends=True) for name in ANNOTATORS]
    figures = _measure(unsupervised, [sequence for sequences in found for sequence in sequences], workers, progress)
    count = len(found[0])
    each = {
        name: _scores(sequences, figures[number * count :][:count])
        for number, (name, sequences) in enumerate(zip(ANNOTATORS, found, strict=True))
    }
    rows = {name: dict(scores.summary) for name, scores in each.items()}
    mean = {key: float(np.mean([row[key] for row in rows.values()])) for key in next(iter(rows.values()))}
    annotators = {name: scores.figures for name, scores in each.items()}
    return Scores({"average_of_four_annotators": mean, "per_annotator": annotators}, mean, rows)


def find_sequences(gt: Path, annotations: str, pred: Path, ends: bool) -> list[LabelFolders]:
    """The sequences of ImageSets/2017/val.txt. Raises UserError for what is missing.

    Args:
        annotations: folder of `gt` that holds 480p/SEQUENCE.
        ends: whether the first and the last frame are evaluated (and must have been predicted).
    """
    need_folder(gt, f"{annotations}/480p and ImageSets/2017/val.txt")
    root = need_folder(gt / annotations / "480p", "SEQUENCE/*.png")
    names = sequence_names(gt / "ImageSets" / "2017" / "val.txt", "DAVIS-2017")
    need_folder(pred, "SEQUENCE/*.png")
    return [LabelFolders.find(name, root / name, pred / name, slice(None) if ends else INNER) for name in names]


def semisupervised(sequence: LabelFolders) -> Figures:
    """J and F, 2 N T, of the objects 1 to the highest id of the first frame; the first and the last frame left out.

    The true label 255 is background. Raises UserError for predicted ids beyond those of the objects.
    """
    size, count = _first(sequence)
    objects = f"the objects 1 to {count}" if count else f"no object on its first frame, {sequence.frames[0]}"
    frames = sequence.frames[INNER]
    figures = np.zeros((2, count, len(frames)))
    for t, frame in enumerate(frames):
        truth, prediction = _read(sequence, frame, size, count, objects)
        figures[..., t] = measure_objects(prediction, truth, range(1, count + 1))
    return figures


def unsupervised(sequence: LabelFolders) -> Figures:
    """J and F, 2 N T, of the objects 1 to the highest id of the first frame, each with a proposal of its own.

    All frames count. The true label 255 is void, that is background in truth and prediction alike. Proposals are the
    ids 1 to the highest predicted one, and empty ones where they are fewer than the objects; pairs are chosen so that
    their J&F, averaged over the frames, has the largest sum. As in the official tool, rows are in the order of the
    proposals. Raises UserError for ids above 20.
    """
    from scipy.optimize import linear_sum_assignment

    size, count = _first(sequence)
    figures = np.zeros((2, MOST_PROPOSALS, count, len(sequence.frames)))
    highest = 0
    for t, frame in enumerate(sequence.frames):
        truth, prediction = _read(sequence, frame, size, MOST_PROPOSALS, f"at most {MOST_PROPOSALS} proposals")
        highest = max(highest, int(prediction.max(initial=0)))
        void = truth == IGNORE
        if void.any():
            truth, prediction = np.where(void, 0, truth), np.where(void, 0, prediction)
        truths = [truth == k + 1 for k in range(count)]
        shown = [int(number) for number in np.flatnonzero(np.bincount(prediction.reshape(-1))) if number]
        now = figures[..., t]
        now[:] = measure_pairs([np.zeros(size, bool)], truths)
        now[:, [number - 1 for number in shown]] = measure_pairs([prediction == n for n in shown], truths)
    figures = figures[:, : max(highest, count)]
    rows, columns = linear_sum_assignment(-figures.mean(3).mean(0))
    return figures[:, rows, columns]


def average(objects: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The plain mean of each figure over all objects, and before them J&F-Mean of the two means."""
    keys = [f"{name}-{part}" for name in MEASURES for part in PARTS]
    means = {key: float(np.mean([row[key] for row in objects.values()])) if objects else float("nan") for key in keys}
    return {"J&F-Mean": (means["J-Mean"] + means["F-Mean"]) / 2, **means}


def _measure(
    function: Callable[[LabelFolders], Figures], sequences: Sequence[LabelFolders], workers: int, progress: Progress
) -> list[Figures]:
    return score_videos(function, sequences, workers, progress, [len(s.frames) for s in sequences])


def _scores(sequences: Sequence[LabelFolders], figures: Sequence[Figures]) -> Scores:
    """All figures under the names of the official tool."""
    objects, frames = {}, {}
    for sequence, values in zip(sequences, figures, strict=True):
        frames[sequence.name] = dict(zip(MEASURES, values, strict=True))
        for k in range(values.shape[1]):
            objects[f"{sequence.name}_{k + 1}"] = {
                f"{name}-{part}": value
                for name, row in zip(MEASURES, values[:, k], strict=True)
                for part, value in zip(PARTS, summarize(row), strict=True)
            }
    overall = average(objects)
    return Scores({"global": overall, "per_object": objects, "per_frame": frames}, overall, objects)


def _first(sequence: LabelFolders) -> tuple[tuple[int, int], int]:
    """Height and width of the first true map, and its highest id."""
    labels = read_labels(sequence.files(sequence.frames[0])[0])
    return (labels.shape[0], labels.shape[1]), int(labels[labels != IGNORE].max(initial=0))


def _read(
    sequence: LabelFolders, frame: str, size: tuple[int, int], highest: int, meaning: str
) -> tuple[Labels, Labels]:
    """The maps of a frame, both H W; UserError for a predicted id above `highest`, which means `meaning`."""
    true_path, path = sequence.files(frame)
    truth, prediction = read_pair(true_path, path, size=size)
    if int(prediction.max(initial=0)) > highest:
        raise UserError(f"{path} holds id {prediction.max()}; {sequence.name} has {meaning}")
    return truth, prediction
