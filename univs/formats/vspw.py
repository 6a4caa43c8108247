"""VSPW: frames and maps of 124 classes in data/VIDEO, stored as 1 to 124; 0 (others) and 255 (void) are not scored."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from univs.errors import UserError
from univs.formats.class_maps import ClassCodes
from univs.formats.files import (
    expecting,
    inside,
    list_frames,
    read_json,
    read_lines,
    require_folder,
    write_json,
    write_lines,
)
from univs.formats.label_maps import frame_stems, label_files, video_name, write_frames
from univs.formats.lazy import LazyRecordings
from univs.formats.recording import Recording, RecordingSet
from univs.formats.sample import VideoSample
from univs.formats.truth_files import truth_folders
from univs.video.pictures import write_picture
from univs.vocabularies.vocabulary import vocabulary

CLASS_FILE = "label_num_dic_final.json"
OTHERS = "others"
VOID = 255


def read(root: Path, split: str) -> RecordingSet:
    """A split in `root`: val, train or test (whose maps are not public).

    Raises UserError that names what is missing or does not fit.
    """
    what = f"vspw {split}"
    data = require_folder(root / "data", what)
    numbers = read_json(root / CLASS_FILE, what)
    with expecting(root / CLASS_FILE, "{NAME: NUMBER}, others being 0"):
        classes = {int(number): str(name) for name, number in numbers.items() if name != OTHERS}
        if not classes or min(classes) < 1 or max(classes) >= VOID:
            raise ValueError(f"expected classes with numbers from 1 to {VOID - 1}")
        codes = codes_of(classes)
    path = root / f"{split}.txt"
    names = tuple(read_lines(path, what))
    if not names:
        raise UserError(f"{what}: {path} names no video")
    make = partial(_recording, data, codes, split != "test", what)
    return RecordingSet("vspw", split, root, LazyRecordings(make, names), codes.classes, codes.things)


def codes_of(classes: dict[int, str]) -> ClassCodes:
    """Classes by their stored number; VIPSeg, which has the same, says which are things."""
    known = vocabulary("vspw")
    things = {known.names[place] for place in known.things or ()}
    ordered = dict(sorted(classes.items()))
    return ClassCodes(ordered, frozenset(k for k, name in ordered.items() if name in things), 0, (VOID, 0))


def _recording(data: Path, codes: ClassCodes, public: bool, what: str, name: str) -> Recording:
    frames = list_frames(inside(data, name) / "origin", what)
    masks = data / name / "mask"
    if not public and not masks.is_dir():
        return Recording(name, frames)
    return codes.recording(name, frames, label_files(frames, masks, what))


def write(samples: Iterable[VideoSample], root: Path, split: str) -> None:
    """Writes clips with panoptic maps as a split; classes are borrowed, and of test the maps are left out."""
    codes = codes_of(dict(enumerate(vocabulary("vspw").names, 1)))
    names = []
    for place, sample in enumerate(samples):
        name, stems = video_name(sample, place), frame_stems(len(sample.frames), 8)
        maps = codes.of(sample)
        write_frames(root / "data" / name / "origin", sample, stems)
        for stem, classes in zip(stems, maps, strict=True) if split != "test" else ():
            write_picture(root / "data" / name / "mask" / f"{stem}.png", classes)
        names.append(name)
    write_lines(root / f"{split}.txt", names)
    write_json(root / CLASS_FILE, {OTHERS: "0", **{name: str(number) for number, name in codes.classes.items()}})


truth = partial(truth_folders, home="data/{}/mask", names="val.txt")
"""What its scorer takes (see `univs.formats.truth_files`)."""
