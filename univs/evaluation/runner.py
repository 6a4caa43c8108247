"""Runs a model over the sequences of a data set and scores its masks: `univs evaluate`.

Every sequence leaves one JSON file in the output folder as soon as it is done; a run that was killed goes on from
there, and files made with other weights or settings are made again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypedDict

import numpy as np
from rich.console import Console

from univs.claim import claim_folder
from univs.devices import choose_device
from univs.errors import UserError
from univs.evaluation.davis import SemiSupervised
from univs.evaluation.fingerprint import fingerprint
from univs.evaluation.records import SequenceRecord, Summary, of_other_runs, results_table
from univs.files import atomic_path
from univs.formats import Recording
from univs.formats.checking import problems_of
from univs.formats.davis import read_folder
from univs.masks.mask_files import write_objects
from univs.prompts import Mask
from univs.settings import Count, Device, NotEmpty, ShortSide, Text, check_value, make
from univs.terminal import plain_console, progress_bar
from univs.texts import read_entries

if TYPE_CHECKING:
    from univs.prompts import Prompt
    from univs.results import FrameResult

DATASETS = ("davis2016", "davis_folder")


class Stepper(Protocol):
    """What follows objects frame by frame: a `univs.Session`."""

    def step(self, frame: np.ndarray, prompts: Sequence[Prompt] = ()) -> FrameResult: ...


RUNNERS = {
    "davis2016": "univs.evaluation.runner:evaluate",
    "davis_folder": "univs.evaluation.runner:evaluate",
    "synth": "univs.evaluation.synth_runner:evaluate",
    "labelled": "univs.evaluation.labelled_runner:evaluate",
    "all": "univs.evaluation.benchmarks.runner:evaluate_all",
}
"""Data set -> module and function that runs a model over it; all others are public sets."""
PUBLIC = "univs.evaluation.benchmarks.runner:evaluate"


def main(overrides: Sequence[str]) -> None:
    """`univs evaluate`: Hydra overrides of configs/evaluate.yaml. Raises UserError for whatever is wrong with them."""
    from univs.configuration import compose

    settings = compose("evaluate", overrides)
    module, _, function = RUNNERS.get(settings["dataset"], PUBLIC).partition(":")
    chosen: Callable[..., object] = getattr(import_module(module), function)
    make(chosen, settings)


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
    device: Device = "auto",
    out: Text | Path | None = None,
    save_masks: bool = False,
) -> list[SequenceRecord]:
    """Follows the objects of every sequence from their true masks on its first frame, and scores the rest.

    Settings are those of configs/evaluate.yaml; `size` is the short side (pixels) at which the model sees a frame.
    Prints a table and writes it to `out`/summary.json. Raises UserError for missing data, unknown names and weights.
    """
    found = find_sequences(dataset, data, sequences)
    device = choose_device(device)  # after the cheap checks: torch takes seconds to import

    from univs.models.zoo import load
    from univs.streaming import Session

    console = plain_console()
    model = load(weights, device=device)
    settings = {
        "dataset": dataset,
        "weights": str(weights),
        "fingerprint": fingerprint(model),
        "size": size,
        "max_frames": max_frames,
    }
    folder = Path(out) if out else Path("results") / dataset
    with claim_folder(folder, "out="):
        records = run(found, lambda: Session(model, size=size or 0), settings, folder, save_masks, console)
        write_summary(folder, settings, records)
    console.print(results_table(records, f"{dataset}, weights {weights}, short side {size or 'as stored'}"))
    console.print(f"J&F {Summary.of(records).j_and_f:.1f}   (figures frame by frame: {folder}/sequences)")
    if others := of_other_runs(folder / "sequences", (record.name for record in records)):
        console.print(others, soft_wrap=True)
    return records


def write_summary(folder: Path, settings: dict[str, Any], records: list[SequenceRecord]) -> None:
    """Writes summary.json."""
    summary = {"settings": settings, "sequences": [record.name for record in records], **asdict(Summary.of(records))}
    with atomic_path(folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1))


def run(
    sequences: Sequence[Recording],
    new_session: Callable[[], Stepper],
    settings: dict[str, Any],
    folder: Path,
    save_masks: bool,
    console: Console,
) -> list[SequenceRecord]:
    """Records of the sequences in their order, computed longest first; those in `folder` are taken from there."""
    limit = settings["max_frames"]
    merge = settings["dataset"] == "davis2016"
    records: dict[str, SequenceRecord] = {}
    for sequence in sequences:
        if SequenceRecord.read(folder / "sequences" / f"{sequence.name}.json", settings) is None:
            for problem in problems_of(sequence.first(limit)):
                raise UserError(problem)
    with progress_bar(console) as progress:
        task = progress.add_task("frames", total=sum(_count(sequence, limit) for sequence in sequences))
        for sequence in sorted(sequences, key=lambda sequence: -_count(sequence, limit)):
            path = folder / "sequences" / f"{sequence.name}.json"
            masks = folder / "masks" / sequence.name if save_masks else None
            record = SequenceRecord.read(path, settings)
            if record is None or (masks and not masks.is_dir()):
                record = run_sequence(sequence, new_session(), merge, limit, masks, lambda: progress.advance(task))
                record.write(path, settings)
            else:
                progress.advance(task, record.num_frames)
            records[sequence.name] = record
            progress.console.print(
                f"{sequence.name}: J&F {Summary.of([record]).j_and_f:.1f}, {record.speed:.2f} frames/s"
            )
    return [records[sequence.name] for sequence in sequences]


def run_sequence(
    sequence: Recording,
    session: Stepper,
    merge: bool,
    max_frames: int | None = None,
    masks: Path | None = None,
    advance: Callable[[], object] = lambda: None,
) -> SequenceRecord:
    """Follows and scores one sequence, one frame in memory at a time; `merge` makes one object of all its labels.

    The masks go to the folder `masks` as indexed PNG, if one is given. Without an object on the first frame there is
    nothing to follow and the record has no scores.
    """
    scoring = SemiSupervised(merge)
    seconds = 0.0
    count = _count(sequence, max_frames)
    for index in range(count):
        frame, truth = sequence.read(index)
        truth = np.where(truth == 255, 0, truth).astype(np.uint8)
        if merge:
            truth = (truth > 0).astype(np.uint8)
        prompts = [Mask(int(i), truth == i) for i in np.unique(truth) if i > 0] if index == 0 else []
        if index == 0 and not prompts:
            break
        start = time.perf_counter()
        labels = session.step(frame, prompts).labels
        seconds += time.perf_counter() - start if index else 0.0
        scoring.update(labels, truth)
        if masks:
            _write_mask(masks / f"{sequence.frames[index].stem}.png", labels)
        advance()
    return SequenceRecord(sequence.name, count, seconds, scoring.compute())


def find_sequences(dataset: str, data: FolderData, chosen: Sequence[str] | None = None) -> list[Recording]:
    """The sequences of a data set, by name; `chosen` keeps those named `sequence` or `folder/sequence`.

    `data`: root, the folder that holds JPEGImages and Annotations (for davis_folder also a folder of such folders);
    list, a text file with the sequences to take. Raises UserError for unknown data sets, sequences and missing folders.
    """
    if dataset not in DATASETS:
        raise UserError(f"unknown dataset {dataset}: choose one of {', '.join(DATASETS)}")
    check_value("data", data, FolderData)
    root = Path(str(data["root"])).expanduser()
    roots = [root]
    if dataset == "davis_folder" and root.is_dir() and not (root / "JPEGImages").is_dir():
        roots = sorted(path.parent for path in root.glob("*/JPEGImages")) or roots
    found = {sequence.name: sequence for folder in roots for sequence in read_folder(folder).recordings}
    for names in (_listed(dataset, root, data.get("list")), chosen):
        if names is not None:
            found = {sequence.name: sequence for name in names for sequence in [_pick(found, str(name))]}
    return [found[name] for name in sorted(found)]


def _listed(dataset: str, root: Path, file: str | None) -> list[str] | None:
    """Names in the list file, by default the official one of DAVIS-2016 if it is there; None for no list."""
    official = root / "ImageSets" / "480p" / "val.txt"
    if file is None and not (dataset == "davis2016" and official.is_file()):
        return None
    path = Path(file).expanduser() if file else official
    lines = [line.split("#")[0].strip() for line in read_entries(path, "names of sequences, one a line")]
    return [line for line in lines if line]


def _pick(found: dict[str, Recording], name: str) -> Recording:
    matches = [sequence for full, sequence in found.items() if name in (full, full.rpartition("/")[2])]
    if len(matches) != 1:
        what = "no sequence" if not matches else f"{len(matches)} sequences"
        raise UserError(f"{what} {name} in the data set; there are {', '.join(sorted(found))}")
    return matches[0]


def _count(sequence: Recording, max_frames: int | None) -> int:
    return min(len(sequence), max_frames or len(sequence))


def _write_mask(path: Path, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_objects(path, labels)
