"""`univs score` on the DAVIS layouts: the objects of the first frame followed, found without help, or described.

Rules are those of davisvideochallenge/davis2017-evaluation (`univs.evaluation.davis` has the measures). Label
maps are indexed PNG; figures are fractions. All figures over sequences weigh objects alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from univs.errors import UserError
from univs.evaluation.by_video import score_videos
from univs.evaluation.davis import IGNORE, measure, summarize
from univs.evaluation.score_files import frame_names, need_folder, need_frames, read_labels, read_lines
from univs.evaluation.scores import Progress, Scores, quiet

PARTS = ("mean", "recall", "decay")
MOST_PROPOSALS = 20


@dataclass(frozen=True)
class Sequence2017:
    """A sequence to score: its name and its folders of true and predicted label maps."""

    name: str
    truth: Path
    prediction: Path
    frames: tuple[str, ...]


Figures = tuple[np.ndarray, np.ndarray]
"""J and F, N objects T evaluated frames each."""


def score_semisupervised(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """The objects of the first true label map, on all frames but the first and the last."""
    sequences = find_sequences(gt, "Annotations", pred, ends=False)
    return _scores(sequences, score_videos(semisupervised, sequences, workers, progress, _lengths(sequences)))


def find_sequences(gt: Path, annotations: str, pred: Path, ends: bool) -> list[Sequence2017]:
    """The sequences of ImageSets/2017/val.txt. Raises UserError for what is missing.

    Args:
        annotations: folder of `gt` that holds 480p/SEQUENCE.
        ends: whether the first and the last frame are evaluated (and must have been predicted).
    """
    holds = f"{annotations}/480p and ImageSets/2017/val.txt"
    root = need_folder(need_folder(gt, holds) / annotations / "480p", "SEQUENCE/*.png")
    names = read_lines(gt / "ImageSets" / "2017" / "val.txt", "names of sequences")
    need_folder(pred, "SEQUENCE/*.png")
    found = []
    for name in names:
        frames = tuple(frame_names(root / name))
        need_frames(pred / name, frames if ends else frames[1:-1], root / name)
        found.append(Sequence2017(name, root / name, pred / name, frames))
    return found


def semisupervised(sequence: Sequence2017) -> Figures:
    """J and F of the objects 1 to the highest id of the first frame. Raises UserError for ids beyond those.

    The true label 255 is background. A frame of a sequence of two frames or less is not evaluated.
    """
    first = read_labels(sequence.truth / f"{sequence.frames[0]}.png")
    count = _highest(first)
    frames = sequence.frames[1:-1]
    figures = np.zeros((2, count, len(frames)))
    for t, frame in enumerate(frames):
        truth = read_labels(sequence.truth / f"{frame}.png", first.shape)
        path = sequence.prediction / f"{frame}.png"
        prediction = read_labels(path, first.shape)
        if int(prediction.max(initial=0)) > count:
            raise UserError(f"{path} holds object {prediction.max()}; {sequence.name} has the objects 1 to {count}")
        for k in range(count):
            figures[:, k, t] = measure(prediction == k + 1, truth == k + 1)
    return figures[0], figures[1]


def _scores(sequences: Sequence[Sequence2017], figures: Sequence[Figures]) -> Scores:
    """All figures under the names of the official tool."""
    objects = {
        f"{sequence.name}_{k + 1}": {
            f"{measure}-{part.title()}": value
            for measure, values in (("J", j[k]), ("F", f[k]))
            for part, value in zip(PARTS, summarize(values).parts, strict=True)
        }
        for sequence, (j, f) in zip(sequences, figures, strict=True)
        for k in range(len(j))
    }
    overall = average(objects)
    frames = {sequence.name: {"J": j, "F": f} for sequence, (j, f) in zip(sequences, figures, strict=True)}
    return Scores({"global": overall, "per_object": objects, "per_frame": frames}, overall, objects)


def average(objects: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The plain mean of each figure over all objects, and J&F-Mean of the two means before them."""
    rows = list(objects.values())
    means = {
        f"{measure}-{part.title()}": float(np.mean([row[f"{measure}-{part.title()}"] for row in rows]))
        if rows
        else float("nan")
        for measure in "JF"
        for part in PARTS
    }
    return {"J&F-Mean": (means["J-Mean"] + means["F-Mean"]) / 2, **means}


def _highest(labels: np.ndarray) -> int:
    return int(labels[labels != IGNORE].max(initial=0))


def _lengths(sequences: Sequence[Sequence2017]) -> list[int]:
    return [len(sequence.frames) for sequence in sequences]
