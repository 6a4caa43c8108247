"""`univs score kitti_step_stq`: STQ, AQ and SQ on the KITTI-STEP encoding.

RGB PNG: R = class (0..18, void 255), instance = 256 G + B. Rules are those of deeplab2 (`stq` has the
measure); figures are fractions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from univs.errors import UserError
from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.label_pairs import shared_pixels
from univs.evaluation.metrics.score_files import LabelFolders, need_folder, read_ids, read_pair, video_names
from univs.evaluation.metrics.scores import Progress, Scores, quiet
from univs.evaluation.metrics.stq import Meetings, SequenceStq, measure_sequence, pooled, stq_figures

CLASSES = 19
THINGS = (11, 13)
VOID = 255
CROWD = 0
"""The instance number of true things that are not told apart."""


def score(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """STQ of a folder of predictions. Raises UserError for whatever is wrong with the files."""
    sequences = find_sequences(gt, pred)
    measured = score_videos(read_sequence, sequences, workers, progress, [len(one.frames) for one in sequences])
    every = pooled(measured)
    rows = {
        one.name: {"STQ": part.stq, "AQ": part.aq, "SQ": part.sq, "frames": part.length}
        for one, part in zip(sequences, measured, strict=True)
    }
    summary = {"STQ": every.stq, "AQ": every.aq, "SQ": every.sq}
    return Scores(stq_figures([one.name for one in sequences], measured), summary, rows)


def read_sequence(sequence: LabelFolders) -> SequenceStq:
    """The parts of STQ of one sequence. Raises UserError for broken maps and classes that there are not."""
    parts = []
    for frame in sequence.frames:
        paths = sequence.files(frame)
        shared = shared_pixels(*read_pair(*paths, read_ids))
        true = class_and_instance(shared.truth, paths[0])
        predicted = class_and_instance(shared.prediction, paths[1])
        parts.append((*true, *predicted, shared.pixels))
    meetings = Meetings(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return measure_sequence(meetings, THINGS, CLASSES, CROWD, len(sequence.frames))


def class_and_instance(ids: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Of each R + 256 G + 65536 B: the class (void becomes 19) and the instance. UserError for another class."""
    red, green, blue = ids & 255, ids >> 8 & 255, ids >> 16
    wrong = (red >= CLASSES) & (red != VOID)
    if wrong.any():
        raise UserError(f"{path} holds class {red[wrong][0]} (red); expected 0 to {CLASSES - 1}, or {VOID} for void")
    return np.where(red == VOID, CLASSES, red), green * 256 + blue


def find_sequences(gt: Path, pred: Path) -> list[LabelFolders]:
    """The sequences of the ground truth by name. Raises UserError for what is missing."""
    names = video_names(gt, "SEQUENCE/*.png")
    need_folder(pred, "SEQUENCE/*.png")
    return [LabelFolders.find(name, gt / name, pred / name) for name in names]
