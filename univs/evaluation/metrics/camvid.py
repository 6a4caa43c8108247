"""`univs score camvid`: mIoU of street scenes in the eleven classes of CamVid.

Source: Brostow et al., "Segmentation and Recognition Using Structure from Motion Point Clouds", ECCV 2008, with the
eleven classes of Badrinarayanan et al., "SegNet", 2017. Maps are PNG of classes 0..10; true ones above are void.
Figures are fractions.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.label_spaces import VOID, count_classes, off_by_one
from univs.evaluation.metrics.score_files import frame_names, need_frames, read_pair
from univs.evaluation.metrics.scores import Progress, Scores, quiet
from univs.evaluation.metrics.vspw import class_figures
from univs.vocabularies import vocabulary

CLASSES = 11


def score(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """All figures of a folder of predictions. Raises UserError for whatever is wrong with the files."""
    frames = frame_names(gt)
    need_frames(pred, frames, gt)
    measured = score_videos(partial(confusion, gt, pred), frames, workers, progress)
    pixels = np.sum(measured, 0)
    if shift := off_by_one(pixels):
        direction = "less" if shift < 0 else "plus"
        raise UserError(
            f"the classes in {pred} are those in {gt} {direction} one; expected 0 to {CLASSES - 1} in both, 0 is sky"
        )
    return figures(pixels)


def confusion(gt: Path, pred: Path, frame: str) -> NDArray[np.int64]:
    """Pixels of a frame by true (rows) and predicted class, 11 12. UserError for classes that there are not."""
    path = pred / f"{frame}.png"
    maps = read_pair(gt / path.name, path)
    try:
        return count_classes(*maps, CLASSES)
    except ValueError as error:
        raise UserError(f"{path} holds class {error}; expected 0 to {CLASSES - 1}, or {VOID}") from error


def figures(pixels: NDArray[np.int64]) -> Scores:
    """Means over the classes that the truth holds, and the IoU of each class, from pixels by class, 11 12."""
    shared, true, predicted = np.diag(pixels), pixels.sum(1), pixels.sum(0)[:CLASSES]
    names = vocabulary("camvid").names
    union = true + predicted - shared
    each = {names[k]: {"IoU": float(shared[k] / union[k])} for k in range(CLASSES) if true[k]}
    means = class_figures(pixels)
    return Scores({**means, "per_class": each}, {key: means[key] for key in ("mIoU", "pixel_accuracy")}, each)
