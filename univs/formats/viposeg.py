"""VIPOSeg: every segment of VIPSeg, thing or stuff, is an object that is shown once and followed.

Label maps are PNG of object ids; obj_class.json tells the class of VIPSeg (0 to 123) of each. Of valid videos
Annotations has the frames on which objects first appear, these alone, and Annotations_gt all frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from univs.errors import UserError
from univs.formats.borrowed_names import borrow_segments
from univs.formats.files import expecting, inside, list_frames, read_json, require_folder, write_json
from univs.formats.label_maps import (
    frame_stems,
    label_files,
    object_ids,
    recording_of,
    subfolders,
    video_name,
    write_first_labels,
    write_frames,
    write_maps,
)
from univs.formats.label_pixels import read_indices
from univs.formats.lazy import LazyRecordings
from univs.formats.recording import FrameLabels, Recording, RecordingSet
from univs.formats.sample import IGNORE, VideoSample
from univs.formats.truth_files import link
from univs.vocabularies.vocabulary import vocabulary

CLASS_FILE = "obj_class.json"
DIGITS = 8
"""Of the names of frames."""


def read(root: Path, split: str) -> RecordingSet:
    """A split in `root`: valid or train. Raises UserError that names what is missing or does not fit."""
    what, home = f"viposeg {split}", require_folder(root / split, f"viposeg {split}")
    require_folder(home / "Annotations", what)
    path = home / CLASS_FILE
    told = read_json(path, what)
    names = subfolders(home / "JPEGImages", what)
    with expecting(path, "{VIDEO: {OBJECT: CLASS}}"):
        classes = {name: {int(number): int(kind) for number, kind in told[name].items()} for name in names}
    known = vocabulary("viposeg")
    recordings = LazyRecordings(partial(_recording, home, split == "valid", what), tuple(classes.items()))
    return RecordingSet("viposeg", split, root, recordings, dict(enumerate(known.names)), known.things or frozenset())


def _recording(home: Path, followed: bool, what: str, item: tuple[str, Mapping[int, int]]) -> Recording:
    name, classes = item
    frames = list_frames(inside(home / "JPEGImages", name), what)
    given = label_files(frames, inside(home / "Annotations", name), what)
    truth = home / "Annotations_gt"
    shown: dict[int, int] = {}
    for place, path in given.items() if followed else ():
        for number in object_ids(read_indices(path)):
            shown.setdefault(number, place)
    files = label_files(frames, inside(truth, name), what) if truth.is_dir() else given
    known = vocabulary("viposeg")
    things = known.things or frozenset()
    for number, kind in classes.items():
        if not 0 <= kind < len(known.names):
            raise UserError(f"{home / CLASS_FILE}: object {number} of {name} is of class {kind}; expected 0 to 123")
    return recording_of(
        name,
        frames,
        files,
        read_segments,
        categories={number: known.names[kind] for number, kind in classes.items() if kind in things},
        stuff={number: known.names[kind] for number, kind in classes.items() if kind not in things},
        shown=shown,
    )


def read_segments(files: Mapping[int, Path], frame: int) -> FrameLabels:
    """The label map of a frame; in `panoptic`, 0 (what VIPSeg does not label) is unknown.

    Segments of stuff are objects here as well: they are shown and followed like things.
    """
    labels = read_indices(files[frame])
    return FrameLabels(labels, np.where(labels == 0, IGNORE, labels).astype(np.uint8))


def write(samples: Iterable[VideoSample], root: Path, split: str) -> None:
    """Writes clips with panoptic maps as a split; segments keep their ids, what is unknown becomes 0.

    Classes are borrowed (see `borrow_segments`). Of valid, Annotations has what is new on a frame, Annotations_gt
    everything, meta.json the frames of each object.
    """
    home, known = root / split, vocabulary("viposeg")
    classes: dict[str, dict[str, int]] = {}
    frames_of: dict[str, dict[str, dict[str, dict[str, list[str]]]]] = {}
    for place, sample in enumerate(samples):
        if sample.panoptic is None:
            raise UserError(f"viposeg: clip {sample.name} has no panoptic map; every segment is an object there")
        name, stems = video_name(sample, place), frame_stems(len(sample.frames), DIGITS)
        write_frames(home / "JPEGImages" / name, sample, stems)
        seen: dict[int, list[str]] = {}
        every = [np.where(panoptic == IGNORE, 0, panoptic).astype(np.uint8) for panoptic in sample.panoptic]
        for stem, labels in zip(stems, every, strict=True):
            for number in object_ids(labels):
                seen.setdefault(number, []).append(stem)
        write_maps(home / ("Annotations" if split == "train" else "Annotations_gt") / name, stems, every)
        if split != "train":
            write_first_labels(home / "Annotations" / name, stems, every)
        own = borrow_segments(sample, dict(enumerate(known.names)), known.things or frozenset())
        classes[name] = {str(number): own[number] for number in sorted(seen)}
        frames_of[name] = {"objects": {str(number): {"frames": seen[number]} for number in sorted(seen)}}
    write_json(home / CLASS_FILE, classes)
    if split != "train":
        write_json(home / "meta.json", {"videos": frames_of})


def truth(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """For the scorer: Annotations_gt, Annotations and obj_class.json."""
    home = data.root / data.split
    if not (home / "Annotations_gt").is_dir():
        return None
    for recording in recordings:
        for name in ("Annotations_gt", "Annotations"):
            link(folder / name / recording.name, home / name / recording.name)
    link(folder / "obj_class.json", home / "obj_class.json")
    return folder
