"""DAVIS-2016 and folders of one's own: `univs evaluate dataset=davis2016` and `dataset=davis_folder`.

The objects of the first frame are shown by their true masks; J and F are those of DAVIS, averaged over the objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np

from univs.errors import UserError
from univs.evaluation.run.benchmark import Benchmark
from univs.evaluation.run.benchmark_run import Job, Outcome
from univs.evaluation.run.figure_writer import FigureWriter
from univs.evaluation.run.object_figures import FIGURES, FirstMaskScorer, ObjectFigures
from univs.evaluation.run.questions import PromptKind, ask_shown
from univs.evaluation.run.runner import RESULTS, run_benchmark
from univs.files import from_home
from univs.formats import FrameLabels, Recording, RecordingSet
from univs.formats.answer_writer import AnswerWriter, MaskFolders
from univs.formats.davis import DIALECTS, list_file, read_folder, sequence_names
from univs.masks.meanings import IGNORE
from univs.settings import Count, Device, NotEmpty, ShortSide, Text, check_value

ONE_OBJECT = "davis2016"
"""The data set in which all that is labelled is one object."""


class FolderRoot(TypedDict):
    """The folder that must be given."""

    root: Text


class FolderData(FolderRoot, total=False):
    """Where the sequences lie, and a file that lists those to take."""

    list: Text | None


def evaluate(
    dataset: str,
    data: FolderData,
    sequences: Annotated[Sequence[str], NotEmpty()] | None = None,
    max_frames: Count | None = None,
    weights: Text = "tiny",
    size: ShortSide | None = 480,
    options: Mapping[str, Any] | None = None,
    device: Device = "auto",
    out: Text | Path | None = None,
    save_masks: bool = False,
    prompt: PromptKind = "mask",
) -> Outcome | None:
    """Follows the objects of every sequence from their true masks on its first frame, and scores the rest.

    Settings are those of configs/dataset/davis_folder.yaml; `size` is the short side (pixels) at which the model sees a
    frame. Prints a table and writes it to `out`/summary.json. None in all processes of torchrun but the first. Raises
    UserError for missing data, unknown names and weights.
    """
    job = find_job(dataset, data, sequences, max_frames, Path(out) if out else RESULTS / dataset, save_masks, prompt)
    return run_benchmark(job, weights, device, size, options)


def find_job(
    dataset: str,
    data: FolderData,
    sequences: Sequence[str] | None,
    max_frames: int | None,
    folder: Path,
    save_masks: bool = False,
    prompt: PromptKind = "mask",
) -> Job:
    """The sequences of a data set. Raises UserError for what is missing."""
    found = find_sequences(dataset, data, sequences)
    one_object = dataset == ONE_OBJECT
    recordings = [shown_at_first(sequence, one_object, max_frames) for sequence in found]
    root = from_home(str(data["root"]))

    def writer(predictions: Path, data: RecordingSet) -> AnswerWriter:
        masks = MaskFolders(folder / "masks", data) if save_masks else None
        return FigureWriter(folder / "sequences", partial(FirstMaskScorer, one_object=one_object), masks)

    return Job(
        Benchmark(dataset, "vos", partial(ask_shown, prompt=prompt), writer, ObjectFigures(), FIGURES),
        RecordingSet(dataset, "", root, recordings),
        recordings,
        folder,
        {"root": str(root.resolve()), "max_frames": max_frames, "prompt": prompt},
    )


def shown_at_first(sequence: Recording, one_object: bool, max_frames: int | None = None) -> Recording:
    """The first frames of a sequence, with the objects of its first masks shown.

    one_object: all that is labelled is object 1. Raises UserError for a first mask that cannot be read.
    """
    labels = partial(_merged, sequence.labels_of) if one_object else sequence.labels
    cut = replace(sequence.first(max_frames), labels=labels)
    first = cut.labels_of(0)
    assert first is not None, "every frame of a sequence has a mask file"
    ids = [int(number) for number in np.unique(first.objects) if number not in (0, IGNORE)]
    return replace(cut, shown=dict.fromkeys(ids, 0))


def _merged(labels_of: Callable[[int], FrameLabels | None], index: int) -> FrameLabels:
    labels = labels_of(index)
    assert labels is not None
    return FrameLabels(((labels.objects != 0) & (labels.objects != IGNORE)).astype(np.uint8))


def find_sequences(
    dataset: str, data: FolderData, chosen: Sequence[str] | None = None, split: str = "val"
) -> list[Recording]:
    """The sequences of a data set, by name; `chosen` keeps those named `sequence` or `folder/sequence`.

    `data`: root, the folder that holds JPEGImages and Annotations (for davis_folder also a folder of such folders);
    list, a text file with the sequences to take. split: of DAVIS-2016, where there is no such file. Raises UserError
    for unknown sequences and missing folders, and where the lists of DAVIS lack that of the split.
    """
    check_value("data", data, FolderData)
    root = from_home(str(data["root"]))
    roots = [root]
    if dataset != ONE_OBJECT and root.is_dir() and not (root / "JPEGImages").is_dir():
        roots = sorted(path.parent for path in root.glob("*/JPEGImages")) or roots
    found = {sequence.name: sequence for folder in roots for sequence in read_folder(folder).recordings}
    for names in (_listed(dataset, root, data.get("list"), split), chosen):
        if names is not None:
            found = {sequence.name: sequence for name in names for sequence in [_pick(found, str(name))]}
    return [found[name] for name in sorted(found)]


def _listed(dataset: str, root: Path, file: str | None, split: str) -> Sequence[str] | None:
    """Names in the list file, by default the official one of DAVIS-2016; None for no list.

    A copy of some sequences without any ImageSets is taken whole, as its val.
    """
    if file:
        return sequence_names(from_home(file), dataset)
    if dataset != ONE_OBJECT or (split == "val" and not (root / "ImageSets").is_dir()):
        return None
    return sequence_names(list_file(root, split, DIALECTS["davis16"], f"{dataset} {split}"), dataset)


def _pick(found: dict[str, Recording], name: str) -> Recording:
    matches = [sequence for full, sequence in found.items() if name in (full, full.rpartition("/")[2])]
    if len(matches) != 1:
        what = "no sequence" if not matches else f"{len(matches)} sequences"
        raise UserError(f"{what} {name} in the data set; there are {', '.join(sorted(found))}")
    return matches[0]
