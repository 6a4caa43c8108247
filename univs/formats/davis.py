"""DAVIS and what is laid out like it: a folder of frames and a folder of label maps for each sequence.

DAVIS-2016 and -2017, its unsupervised labels of 2019, GyGO; MOSE has these two folders in one folder for each split.
A folder of one's own (`read_folder`) has no list of splits, and masks of any kind for some or all frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from univs.errors import UserError
from univs.files import folders_in
from univs.formats.files import (
    first_file,
    folder_name,
    inside,
    is_named,
    list_frames,
    read_json,
    read_names,
    require_folder,
    write_json,
    write_lines,
)
from univs.formats.label_maps import (
    frame_stems,
    label_files,
    object_ids,
    read_ids,
    read_objects,
    read_one_object,
    recording_of,
    subfolders,
    video_name,
    write_frames,
)
from univs.formats.lazy import LazyRecordings
from univs.formats.recording import Recording, RecordingSet
from univs.formats.sample import IGNORE, VideoSample
from univs.formats.truth_files import truth_folders
from univs.masks.mask_files import write_labels
from univs.texts import read_entries
from univs.video.images import IMAGE_SUFFIXES
from univs.video.pictures import write_picture

SEMANTICS = "davis_semantics.json"
OWN = "DAVIS-style folder"
RESOLUTION = re.compile(r"\d+p|Full-Resolution")


@dataclass(frozen=True)
class Dialect:
    """How one of these sets differs from the others.

    masks: folder of label maps. lists: where the names of a split's sequences may lie ({split}); without any, each
    split is a folder of its own. one_object: all that is labelled is one object. given: the first label map is given.
    first_only: splits of which no more than the first frame is labelled; unlabelled: splits without any label.
    named: `davis_semantics.json`, where it is, says what the objects are.
    """

    masks: str = "Annotations"
    lists: tuple[str, ...] = ()
    one_object: bool = False
    given: bool = True
    first_only: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    named: bool = False


DIALECTS = {
    "davis16": Dialect(
        lists=("ImageSets/480p/{split}.txt", "ImageSets/2016/{split}.txt", "ImageSets/1080p/{split}.txt"),
        one_object=True,
    ),
    "davis17": Dialect(lists=("ImageSets/2017/{split}.txt",), first_only=("test-dev", "test-challenge")),
    "davis17_unsupervised": Dialect(
        masks="Annotations_unsupervised",
        lists=("ImageSets/2017/{split}.txt", "ImageSets/2019/{split}.txt"),
        given=False,
        unlabelled=("test-dev", "test-challenge"),
        named=True,
    ),
    "gygo": Dialect(lists=("ImageSets/{split}.txt", "ImageSets/{Split}.txt"), one_object=True),
    "mose": Dialect(first_only=("valid",)),
}


def read(root: Path, split: str, *, dialect: str) -> RecordingSet:
    """A split in `root`; `dialect` is one of DIALECTS. Raises UserError that names what is missing or does not fit."""
    kind, what = DIALECTS[dialect], f"{dialect} {split}"
    home = root if kind.lists else root / split
    images = resolution_folder(require_folder(home / "JPEGImages", what))
    labelled = split not in kind.unlabelled
    masks = resolution_folder(require_folder(home / kind.masks, what)) if labelled else None
    names = sequence_names(list_file(root, split, kind, what), what) if kind.lists else subfolders(images, what)
    named = read_semantics(home, what) if kind.named else {}
    items = tuple((name, tuple(sorted(category_names(named, name, home).items()))) for name in names)
    make = partial(_recording, images, masks, dialect, what)
    return RecordingSet(dialect, split, root, LazyRecordings(make, items))


def _recording(
    images: Path, masks: Path | None, dialect: str, what: str, item: tuple[str, tuple[tuple[int, str], ...]]
) -> Recording:
    name, categories = item
    frames = list_frames(inside(images, name), what)
    if masks is None:
        return Recording(name, frames)
    kind = DIALECTS[dialect]
    files = label_files(frames, inside(masks, name), what)
    read_labels = read_one_object if kind.one_object else read_ids
    first = min(files)
    shown = dict.fromkeys(object_ids(read_labels(files, first).objects), first) if kind.given else {}
    return recording_of(name, frames, files, read_labels, categories=dict(categories), shown=shown)


def resolution_folder(folder: Path) -> Path:
    """`folder/480p` (or the only other folder named like a resolution) if there is one, else the folder itself."""
    found = [path for path in sorted(folder.iterdir()) if path.is_dir() and RESOLUTION.fullmatch(path.name)]
    standard = [path for path in found if path.name == "480p"]
    return (standard or found or [folder])[0]


def read_folder(
    root: Path,
    *,
    exclude: str | Path | list[str] | None = None,
    image_set: str | Path | None = None,
    complete: bool = False,
) -> RecordingSet:
    """All sequences of a folder of one's own, called FOLDER/SEQUENCE; frames without a mask file are left out.

    `image_set` is a text file with the sequences to take, one a line; `exclude` names sequences as `sequence` or
    `folder/sequence`; `complete` says that every object is labelled. Raises UserError for missing folders, and for a
    sequence or mask that has no partner.
    """
    images = resolution_folder(require_folder(root / "JPEGImages", OWN))
    masks = resolution_folder(require_folder(root / "Annotations", OWN))
    names = folders_in(images) if image_set is None else sorted(read_names(image_set))
    banned, folder = read_names(exclude), folder_name(root)
    recordings = tuple(
        _own_recording(f"{folder}/{name}", images / name, masks / name, complete)
        for name in names
        if not is_named(banned, folder, name)
    )
    if not recordings:
        raise UserError(f"{OWN} {root}: no sequence left to read")
    return RecordingSet(folder, "", root, recordings)


def _own_recording(name: str, images: Path, masks: Path, complete: bool) -> Recording:
    frames = list_frames(images, f"sequence {name}")
    labelled = label_files(frames, masks, f"sequence {name}")
    files = dict(enumerate(labelled.values()))
    return recording_of(name, tuple(frames[place] for place in labelled), files, read_objects, complete=complete)


def list_file(root: Path, split: str, kind: Dialect, what: str) -> Path:
    """The first list there is of a split's sequences. Raises UserError if there is none."""
    places = [place.format(split=split, Split=split.capitalize()) for place in kind.lists]
    return first_file(root, places, f"{what}: list of sequences")


def sequence_names(path: Path, what: str) -> tuple[str, ...]:
    """The sequences of a list: a name a line, or a line of paths (of a frame and its label map) for each frame.

    What follows a # is a comment. Raises UserError for a file that cannot be read or names none.
    """
    lines = (line.split("#")[0].strip() for line in read_entries(path, f"names of sequences of {what}, one a line"))
    names = tuple(dict.fromkeys(_sequence(line) for line in lines if line))
    if not names:
        raise UserError(f"{path} names no sequence; expected those of {what}, one a line")
    return names


def _sequence(line: str) -> str:
    first = PurePosixPath(line.split()[0])
    if first.suffix.lower() not in IMAGE_SUFFIXES:
        return line
    parts = [part for part in first.parent.parts if part != "/"]
    if parts[:1] == ["JPEGImages"]:
        parts = parts[2:] if len(parts) > 1 and RESOLUTION.fullmatch(parts[1]) else parts[1:]
    return "/".join(parts)


def read_semantics(home: Path, what: str) -> Any:
    """What `davis_semantics.json` holds; nothing where it is not there."""
    return read_json(home / SEMANTICS, what) if (home / SEMANTICS).is_file() else {}


def category_names(named: object, sequence: str, root: Path) -> dict[int, str]:
    """What `davis_semantics.json` says of a sequence: object id -> noun. Raises UserError if it is of another form."""
    try:
        found = named.get(sequence, {})  # type: ignore[attr-defined]
        return {int(number): str(noun) for number, noun in found.items()}
    except (AttributeError, ValueError) as error:
        raise UserError(f"{root / SEMANTICS}: expected {{sequence: {{object id: noun}}}}") from error


def write(samples: Iterable[VideoSample], root: Path, split: str, *, dialect: str) -> None:
    """Writes clips as a split; of splits without ground truth no more labels than the public set has.

    Where all is one object, pixels labelled 255 (unknown) are background. Names of objects are written where the
    dialect has a file for them.
    """
    kind = DIALECTS[dialect]
    home = root if kind.lists else root / split
    resolution = "480p" if kind.lists else ""
    written: dict[str, list[str]] = {}
    named: dict[str, dict[str, str]] = {}
    for place, sample in enumerate(samples):
        name, stems = video_name(sample, place), frame_stems(len(sample.frames))
        write_frames(home / "JPEGImages" / resolution / name, sample, stems)
        if split not in kind.unlabelled:
            kept = stems[:1] if split in kind.first_only else stems
            _write_labels(home / kind.masks / resolution / name, sample.labels, kept, kind.one_object)
        written[name] = stems
        named[name] = {str(number): noun for number, noun in sample.categories.items()}
    if kind.lists:
        write_lines(root / kind.lists[0].format(split=split), _list_lines(written, dialect))
    if kind.named:
        write_json(home / SEMANTICS, {**read_semantics(home, dialect), **named})


def _write_labels(folder: Path, labels: np.ndarray, stems: Sequence[str], one_object: bool) -> None:
    for stem, frame in zip(stems, labels, strict=False):
        if one_object:
            write_picture(folder / f"{stem}.png", np.where((frame != 0) & (frame != IGNORE), 255, 0).astype(np.uint8))
        else:
            write_labels(folder / f"{stem}.png", frame)


def _list_lines(written: dict[str, list[str]], dialect: str) -> list[str]:
    if dialect != "davis16":
        return list(written)
    pairs = "/JPEGImages/480p/{name}/{stem}.jpg /Annotations/480p/{name}/{stem}.png"
    return [pairs.format(name=name, stem=stem) for name, stems in written.items() for stem in stems]


truth = partial(truth_folders, home="Annotations/480p/{}", names="ImageSets/2017/val.txt")
"""What the scorer of DAVIS-2017 takes (see `univs.formats.truth_files`)."""
