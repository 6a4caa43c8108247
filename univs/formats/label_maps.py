"""Label maps as PNG files, one for a frame: what the layouts made of them share, for reading and for writing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from univs.errors import UserError
from univs.files import folders_in
from univs.formats.files import files_by_stem, require_folder
from univs.formats.label_pixels import read_indices, read_labels
from univs.formats.recording import FrameLabels, Recording
from univs.formats.sample import IGNORE, VideoSample
from univs.masks.mask_files import is_mask, read_marked, write_labels
from univs.video.pictures import write_picture


def label_files(frames: Sequence[Path], folder: Path, what: str, *, all_listed: bool = True) -> dict[int, Path]:
    """Frame (place in `frames`, ascending) -> the mask file of its stem in `folder`.

    all_listed: `frames` are all that there are; else label maps of other frames are passed over. Raises UserError for a
    missing folder, for two label maps of one stem, for one that has no frame and if no frame has one.
    """
    places = {frame.stem: place for place, frame in enumerate(frames)}
    found = {}
    for stem, path in files_by_stem(require_folder(folder, f"{what}: label maps"), is_mask, what).items():
        if stem in places:
            found[places[stem]] = path
        elif all_listed:
            raise UserError(f"{what}: label map {path} has no frame in {frames[0].parent}")
    if not found:
        raise UserError(f"{what}: no label map in {folder} is of a frame in {frames[0].parent}")
    return dict(sorted(found.items()))


def recording_of(
    name: str,
    frames: tuple[Path, ...],
    files: Mapping[int, Path],
    read: Callable[[Mapping[int, Path], int], FrameLabels],
    **more: Any,
) -> Recording:
    """A video (or image) with label maps, frame -> file, ascending; `read` reads that of a frame."""
    return Recording(name, frames, tuple(files), partial(read, files), tuple(files.values()), **more)


def subfolders(folder: Path, what: str) -> tuple[str, ...]:
    """Names of the folders in a folder, sorted. Raises UserError if it is missing or has none."""
    names = tuple(folders_in(require_folder(folder, what)))
    if not names:
        raise UserError(f"{what}: no videos (folders of frames) in {folder}")
    return names


def read_ids(files: Mapping[int, Path], frame: int) -> FrameLabels:
    """The label map of a frame as it is stored: object ids, 0 background, 255 unknown."""
    return FrameLabels(read_indices(files[frame]))


def read_objects(files: Mapping[int, Path], frame: int) -> FrameLabels:
    """The objects of a frame, whichever kind of mask file it is (see `univs.masks.mask_files.read_objects`)."""
    return FrameLabels(read_labels(files[frame]))


def read_one_object(files: Mapping[int, Path], frame: int) -> FrameLabels:
    """The label map of a frame with everything that is labelled, 255 as well, as object 1 (`read_marked`)."""
    return FrameLabels(read_marked(files[frame]).astype(np.uint8))


def object_ids(labels: np.ndarray) -> list[int]:
    """Ids in a label map (any shape, uint8), ascending, without 0 and 255."""
    return [int(i) for i in np.flatnonzero(np.bincount(labels.reshape(-1), minlength=256)) if i not in (0, IGNORE)]


def write_frames(folder: Path, sample: VideoSample, stems: Iterable[str], suffix: str = ".jpg") -> None:
    """Writes the frames of a clip as FOLDER/STEM.jpg (or .png)."""
    for stem, frame in zip(stems, sample.frames, strict=True):
        write_picture(folder / f"{stem}{suffix}", frame)


def write_maps(folder: Path, stems: Iterable[str], labels: Iterable[np.ndarray]) -> None:
    """Writes the label maps of frames as FOLDER/STEM.png."""
    for stem, frame in zip(stems, labels, strict=True):
        write_labels(folder / f"{stem}.png", frame)


def write_first_labels(folder: Path, stems: Sequence[str], labels: Sequence[np.ndarray], always: bool = False) -> None:
    """Writes FOLDER/STEM.png of the frames on which objects first appear, with these objects alone; of the first frame
    in any case if `always`."""
    known: set[int] = set()
    for stem, frame in zip(stems, labels, strict=True):
        new = [number for number in object_ids(frame) if number not in known]
        known.update(new)
        if new or (always and stem == stems[0]):
            write_labels(folder / f"{stem}.png", np.where(np.isin(frame, new), frame, 0).astype(np.uint8))


def frame_stems(count: int, digits: int = 5, step: int = 1) -> list[str]:
    """Names of frames without suffix: 00000, 00001, ... or every `step`-th of them."""
    return [f"{number * step:0{digits}d}" for number in range(count)]


def video_name(sample: VideoSample, place: int) -> str:
    """The name of a clip as that of one folder; its place among the clips where it has none."""
    return sample.name.replace("/", "-") or f"{place:05d}"
