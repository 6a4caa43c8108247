"""`univs score davis2016_jft`: J, F and temporal stability T of one object per sequence, as in DAVIS-2016.

Rules are those of fperazzi/davis; `davis` and `temporal_stability` have the measures. Masks are PNG,
0 and anything else. The first and the last frame are not evaluated. J and F are fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.davis import known_mean, measure_objects, summarize
from univs.evaluation.metrics.davis_scores import INNER
from univs.evaluation.metrics.score_files import LabelFolders, need_folder, read_pair
from univs.evaluation.metrics.scores import Progress, Scores, quiet
from univs.evaluation.metrics.temporal_stability import difference, outline_contexts
from univs.formats.davis import sequence_names

LISTS = ("sequences.txt", "ImageSets/480p/val.txt", "ImageSets/2016/val.txt")
"""Where the names of the sequences may lie."""


def score(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """J, F and T of the sequences that a list in `gt` names."""
    sequences = find_sequences(gt, pred)
    measured = score_videos(score_sequence, sequences, workers, progress, [len(s.frames) for s in sequences])
    each: dict[str, dict[str, dict[str, Any]]] = {}
    for sequence, (j, f, t) in zip(sequences, measured, strict=True):
        stability = {"mean": known_mean(t), "per_pair": t}
        each[sequence.name] = {"J": _statistics(j), "F": _statistics(f), "T": stability}
    rows = {
        name: {f"{key}_{part}": part_value for key, values in figures.items() for part, part_value in _flat(values)}
        for name, figures in each.items()
    }
    keys = list(next(iter(rows.values())))
    overall = {key: known_mean(np.array([row[key] for row in rows.values()])) for key in keys}
    return Scores({"average_over_sequences": overall, "per_sequence": each}, overall, rows)


def score_sequence(sequence: LabelFolders) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """J and F on T frames, and T from each frame to the next (T - 1); NaN on the first and the last frame.

    J and F compare with the truth, T looks at the predictions alone; it is NaN beside an empty mask.
    """
    count = len(sequence.frames)
    figures, stability = np.full((2, count), np.nan), np.full(count - 1, np.nan)
    before = None
    for t in range(1, count - 1):
        truth, mask = (labels != 0 for labels in read_pair(*sequence.files(sequence.frames[t])))
        figures[:, t] = measure_objects(mask.astype(np.uint8), truth.astype(np.uint8), [1])[:, 0]
        contexts = outline_contexts(mask)
        if before is not None:
            stability[t - 1] = difference(before, contexts)
        before = contexts
    return figures[0], figures[1], stability


def find_sequences(gt: Path, pred: Path) -> list[LabelFolders]:
    """The sequences of the first list there is; UserError for what is missing. A line may be a path of a frame."""
    need_folder(gt, f"Annotations/480p and {LISTS[0]}")
    root = need_folder(gt / "Annotations" / "480p", "SEQUENCE/*.png")
    found = [gt / name for name in LISTS if (gt / name).is_file()]
    if not found:
        raise UserError(f"{gt} holds no list of sequences; expected {' or '.join(LISTS)}")
    names = sequence_names(found[0], "DAVIS-2016")
    need_folder(pred, "SEQUENCE/*.png")
    return [LabelFolders.find(name, root / name, pred / name, INNER) for name in names]


def _statistics(per_frame: NDArray[np.float64]) -> dict[str, Any]:
    return {**summarize(per_frame[1:-1])._asdict(), "per_frame": per_frame}


def _flat(values: dict[str, Any]) -> Sequence[tuple[str, float]]:
    return [(part, value) for part, value in values.items() if isinstance(value, float)]
