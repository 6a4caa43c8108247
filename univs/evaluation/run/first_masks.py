"""First masks of single objects on labelled images: `univs evaluate dataset=first_masks prompt=box`.

Each object is shown alone, as a person would who wants that one: by its tight box, a click, or its mask. The score is
the IoU of what is answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from univs.errors import UserError
from univs.evaluation.metrics.davis import jaccard
from univs.evaluation.metrics.score_printing import print_whole
from univs.evaluation.metrics.scores import Scores
from univs.evaluation.run.benchmark import Benchmark, Figure, Measure
from univs.evaluation.run.benchmark_run import Job, Outcome
from univs.evaluation.run.figure_writer import FigureWriter
from univs.evaluation.run.labelled_images import LabelledData
from univs.evaluation.run.questions import PromptKind, ask_shown
from univs.evaluation.run.records import VideoRecord
from univs.evaluation.run.runner import RESULTS, run_benchmark
from univs.evaluation.run.stamps import stamp_files
from univs.formats import Recording, RecordingSet
from univs.formats.answer_writer import AnswerWriter, mask_of
from univs.formats.files import distinct_names
from univs.formats.image_folder import ImageFolder, read_folder
from univs.masks.meanings import IGNORE
from univs.results import FrameResult
from univs.settings import Count, Device, Share, ShortSide, Text
from univs.terminal import plain_table

SIZES = {"small": 0.0, "medium": 0.05, "large": 0.2}
"""Name of a size -> the least share of the image that an object of it covers."""
LOW = 0.5
"""Below this IoU a mask is hardly one of the object that was meant."""


def evaluate(
    dataset: str,
    data: LabelledData,
    objects: Count | None = 200,
    least_share: Share = 0.01,
    weights: Text = "tiny",
    size: ShortSide | None = None,
    options: Mapping[str, Any] | None = None,
    device: Device = "auto",
    out: Text | Path | None = None,
    prompt: PromptKind = "box",
) -> Outcome | None:
    """Shows objects one by one and compares the first mask of each with the true one.

    Settings are those of configs/dataset/first_masks.yaml; `size` is the short side (pixels) at which the model sees an
    image. Prints a table and writes `out`/summary.json. None in all processes of torchrun but the first. Raises
    UserError for missing data, unknown names and weights.
    """
    folder = Path(out) if out else RESULTS / dataset / prompt
    return run_benchmark(find_job(data, objects, least_share, prompt, folder), weights, device, size, options)


def find_job(data: LabelledData, objects: int | None, least_share: float, prompt: PromptKind, folder: Path) -> Job:
    """Objects of the images of a list: all, or so many, evenly spread over them.

    Raises UserError for files that are missing or do not fit, and if there is no object of that size.
    """
    root = Path(data["root"])
    folders = [read_folder(root / name, only=data["list"], stuffed=False) for name in data["folders"]]
    images = (image for folder in folders for image in folder.recordings)
    named = zip(image_names(folders), images, strict=True)
    found = [single for name, image in named for single in single_objects(image, name, least_share)]
    if not found:
        raise UserError(f"no object covers {least_share:g} of an image of {data['list']}; lower least_share")
    if objects is not None and objects < len(found):
        found = [found[place] for place in np.linspace(0, len(found) - 1, objects).round().astype(int)]

    def writer(predictions: Path, data: RecordingSet) -> AnswerWriter:
        return FigureWriter(folder / "objects", FirstMask)

    return Job(
        Benchmark("first_masks", "vos", partial(ask_shown, prompt=prompt), writer, FirstMaskIou(), FIGURES),
        RecordingSet("first_masks", prompt, root, found),
        found,
        folder,
        {
            "data": {**data, "folders": list(data["folders"])},
            "label_files": stamp_files(folder.source.path for folder in folders),
            "least_share": least_share,
            "prompt": prompt,
        },
    )


def image_names(folders: Sequence[ImageFolder]) -> list[str]:
    """FOLDER/STEM of every image of some folders, in order; FOLDER_PLACE/FILE of those that would share it."""
    files = [(place, folder.name, image.file) for place, folder in enumerate(folders) for image in folder.images]
    return distinct_names(
        [f"{folder}/{Path(file).stem}" for _, folder, file in files],
        [f"{folder}_{place}/{file}" for place, folder, file in files],
    )


def single_objects(image: Recording, name: str, least_share: float) -> list[Recording]:
    """Videos of one frame, NAME_OBJECT, each with one of the objects on it that cover so much of it."""
    labels = image.labels_of(0)
    assert labels is not None
    ids, counts = np.unique(labels.objects, return_counts=True)
    return [
        replace(image, name=f"{name}_{number}", shown={int(number): 0})
        for number, count in zip(ids, counts, strict=True)
        if number not in (0, IGNORE) and count >= least_share * labels.objects.size
    ]


class FirstMask:
    """Compares the answer to one object with its true mask (a `figure_writer.Scorer`); unknown pixels do not count."""

    def __init__(self, recording: Recording) -> None:
        labels = recording.labels_of(0)
        assert labels is not None
        (self._number,) = recording.shown
        self._labels = labels.objects
        self._iou = 0.0

    def take(self, result: FrameResult) -> None:
        """Notes the IoU of the first answer, which is the only one."""
        known = self._labels != IGNORE
        self._iou = jaccard(mask_of(result, self._number) & known, self._labels == self._number)

    def figures(self) -> Mapping[str, Any]:
        """The IoU, and the share of the image that the object covers."""
        return {"iou": self._iou, "share": float(np.mean(self._labels == self._number))}


FIGURES = (Figure("IoU", "iou"),)


class FirstMaskIou(Measure):
    """Mean IoU of the first masks, of all and of those of a size."""

    def score(self, data: RecordingSet, recordings: Sequence[Recording], folder: Path, writer: FigureWriter) -> Scores:
        """Every object weighs the same."""
        found = [(float(each["iou"]), float(each["share"])) for each in writer.all(recordings).values()]
        rows = {}
        for name, least in SIZES.items():
            most = min((share for share in SIZES.values() if share > least), default=1.1)
            if ious := [iou for iou, share in found if least <= share < most]:
                rows[name] = summary(ious)
        return Scores({}, summary([iou for iou, _ in found]), rows)

    def show(self, title: str, scores: Scores, records: Sequence[VideoRecord]) -> None:
        """One row per size, and all."""
        table = plain_table(title, "objects", "count", "IoU", f"IoU below {LOW:g}")
        for name, row in {**scores.rows, "all": scores.summary}.items():
            table.add_row(name, str(row["objects"]), f"{100 * row['iou']:.1f}", f"{100 * row['low']:.0f} %")
        print_whole(table)


def summary(ious: Sequence[float]) -> dict[str, float]:
    """How many masks, their mean IoU, and the share of those that are hardly of the object."""
    return {"objects": len(ious), "iou": float(np.mean(ious)), "low": float(np.mean(np.array(ious) < LOW))}
