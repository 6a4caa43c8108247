"""`univs score vspw`: mIoU, frequency-weighted IoU, accuracies and video consistency of semantic maps.

Source: Miao et al., "VSPW: A Large-scale Dataset for Video Scene Parsing in the Wild", CVPR 2021; rules are those of
VSPW-dataset/VSPW_code. Maps are grey PNG of classes 0..123, void 255. Those of the data set as it is downloaded (raw: 0
others, 1..124, void 255) are these plus one. What is predicted as void counts as wrong. Figures are fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.label_spaces import VOID, count_classes, off_by_one
from univs.evaluation.metrics.score_files import LabelFolders, need_folder, read_labels, read_lines
from univs.evaluation.metrics.scores import Progress, Scores, quiet

CLASSES = 124
SPANS = (8, 16)
"""Lengths of the windows of video consistency, frames."""


class VideoFigures(NamedTuple):
    """What is kept of a video: its pixels by true and predicted class (124 125), and span -> figures of its windows."""

    confusion: NDArray[np.int64]
    consistency: dict[int, list[float]]


class Consistency:
    """Video consistency of one video: feed its maps in order, then ask.

    VCn looks at every window of n frames but the last: of the pixels whose true class is the same in all of it, the
    share whose predicted class is the same in all of it, right or wrong. Void that stays void counts as well.
    """

    def __init__(self, spans: Sequence[int] = SPANS) -> None:
        self._figures: dict[int, list[float]] = {span: [] for span in spans}
        self._before: tuple[NDArray[np.integer], NDArray[np.integer]] | None = None
        self._ages: list[NDArray[np.int32]] = []

    def update(self, truth: NDArray[np.integer], prediction: NDArray[np.integer]) -> None:
        """Takes the next frame, two H x W maps."""
        if self._before is None:
            self._ages = [np.ones(truth.shape, np.int32) for _ in range(2)]
        else:
            for age, now, before in zip(self._ages, (truth, prediction), self._before, strict=True):
                age *= now == before  # how many frames the pixel has been what it is
                age += 1
        self._before = (truth, prediction)
        true_age, predicted_age = self._ages
        for span, figures in self._figures.items():
            constant = true_age >= span
            count = int(np.count_nonzero(constant))
            kept = int(np.count_nonzero(constant & (predicted_age >= span)))
            figures.append(kept / count if count else float("nan"))

    def compute(self) -> dict[int, list[float]]:
        """Span -> a figure per window, NaN where no pixel is constant; none if the video has no more frames."""
        return {span: figures[span - 1 : -1] for span, figures in self._figures.items()}


def score(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet, labels: str = "reduced") -> Scores:
    """All figures of a folder of predictions. Raises UserError for whatever is wrong with the files.

    Args:
        labels: whether the true maps are "raw" or "reduced" by one, as the official tool takes them.
    """
    videos = find_videos(gt, pred)
    measure = partial(measure_video, raw=labels == "raw")
    measured = score_videos(measure, videos, workers, progress, [len(video.frames) for video in videos])
    confusion = np.sum([video.confusion for video in measured], 0)
    refuse_other_labels(confusion, labels == "raw", gt, pred)
    figures: dict[str, object] = dict(class_figures(confusion))
    summary = {key: figures[key] for key in ("mIoU", "fwIoU")}
    for span in SPANS:
        windows = [video.consistency[span] for video in measured]
        figures[f"VC{span}"] = summary[f"mVC{span}"] = mean([value for one in windows for value in one])
        figures[f"VC{span}_printed_per_video"] = [float(np.mean(one)) for one in windows if one]
    rows = {}
    for video, (pixels, consistency) in zip(videos, measured, strict=True):
        one = class_figures(pixels)
        spans = {f"VC{span}": mean(consistency[span]) for span in SPANS if consistency[span]}
        rows[video.name] = {"mIoU": one["mIoU"], "fwIoU": one["fwIoU"], **spans}
    return Scores(figures, summary, rows)  # type: ignore[arg-type]


def reduced(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Raw labels as classes 0..123: one less, with 255 for void and for others."""
    return np.where((labels == 0) | (labels == 255), 255, labels - 1)


def measure_video(video: LabelFolders, raw: bool = False) -> VideoFigures:
    """The figures of one video. Raises UserError for broken maps and classes that there are not."""
    confusion = np.zeros((CLASSES, CLASSES + 1), np.int64)
    consistency = Consistency()
    for frame in video.frames:
        true_path, path = video.files(frame)
        truth = read_truth(true_path, raw)
        prediction = read_labels(path, (truth.shape[0], truth.shape[1]))
        try:
            confusion += count_classes(truth, prediction, CLASSES)
        except ValueError as error:
            raise UserError(
                f"{path} holds class {error} where something is labelled; expected 0 to {CLASSES - 1}, or {VOID}"
            ) from error
        consistency.update(truth, prediction)
    return VideoFigures(confusion, consistency.compute())


def read_truth(path: Path, raw: bool) -> NDArray[np.integer]:
    """A true map as classes 0..123, void 255. UserError for one that holds other labels than it is said to have."""
    labels = read_labels(path)
    highest = int(labels[labels != VOID].max(initial=0))
    if highest >= CLASSES + raw:
        if highest == CLASSES:
            raise UserError(
                f"{path} holds {highest}, which maps of classes 0 to {CLASSES - 1} cannot: these look raw, as they are "
                "downloaded; expected --labels raw"
            )
        raise UserError(f"{path} holds {highest}; expected {int(raw)} to {CLASSES - 1 + raw}, or {VOID} for void")
    return reduced(labels) if raw else labels


def refuse_other_labels(confusion: NDArray[np.int64], raw: bool, gt: Path, pred: Path) -> None:
    """UserError if what is predicted is the class beside the true one, so that one side has other labels than is said.

    Args:
        confusion: pixels by true and predicted class.
        raw: whether the true maps were read as raw ones.
    """
    shift = off_by_one(confusion)
    if shift < 0 and not raw:
        raise UserError(
            f"the classes in {pred} are those in {gt} less one: the true maps look raw, as they are downloaded; "
            "expected --labels raw"
        )
    if shift:
        direction = "less" if shift < 0 else "plus"
        hint = "leave out --labels raw, or " if raw else ""
        raise UserError(
            f"the classes in {pred} are those in {gt} {direction} one: {hint}write predictions as classes 0 to "
            f"{CLASSES - 1}"
        )


def class_figures(confusion: NDArray[np.int64]) -> Mapping[str, float]:
    """Accuracies and IoU from pixels by true (rows) and predicted class; NaN where nothing is labelled.

    Args:
        confusion: C C, or C C+1: the last column is what nothing was predicted for.
    Means are over the classes that the truth holds. One that is only predicted costs the class that was right.
    """
    shared, true, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)[: len(confusion)]
    present = true > 0
    if not present.any():
        return dict.fromkeys(("pixel_accuracy", "class_accuracy", "mIoU", "fwIoU"), float("nan"))
    iou = shared[present] / (true + predicted - shared)[present]
    share = true[present] / true.sum()
    return {
        "pixel_accuracy": float(shared.sum() / true.sum()),
        "class_accuracy": float(np.mean(shared[present] / true[present])),
        "mIoU": float(np.mean(iou)),
        "fwIoU": float(np.sum(share * iou)),
    }


def mean(values: Sequence[float]) -> float:
    """Mean of those that are no NaN; NaN if there is none."""
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else float("nan")


def find_videos(gt: Path, pred: Path) -> list[LabelFolders]:
    """The videos of val.txt. Raises UserError for what is missing."""
    need_folder(gt, "val.txt and data/VIDEO/mask/*.png")
    need_folder(pred, "VIDEO/*.png")
    names = read_lines(gt / "val.txt", "names of videos")
    return [LabelFolders.find(name, gt / "data" / name / "mask", pred / name) for name in names]
