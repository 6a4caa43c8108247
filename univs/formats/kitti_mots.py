"""KITTI-MOTS: cars and pedestrians of 21 sequences, as PNG of 1000 class + instance or as lines of run lengths.

The instance 10000 is a region to ignore. Objects are numbered from 1 in the order of their ids, cars first; where a
sequence has more than 254 the smallest are unknown (255).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from univs.errors import UserError
from univs.formats.answer_writer import AnswerWriter, Take
from univs.formats.borrowed_names import borrow
from univs.formats.class_names import ClassNames
from univs.formats.files import first_folder, inside, list_frames, read_lines, write_lines
from univs.formats.label_maps import frame_stems, label_files, object_ids, recording_of, write_frames
from univs.formats.lazy import LazyRecordings
from univs.formats.painting import number_objects, paint
from univs.formats.recording import FrameLabels, Recording, RecordingSet
from univs.formats.sample import IGNORE, VideoSample
from univs.formats.truth_files import link
from univs.masks.mask_files import read_values
from univs.masks.overlaps import areas
from univs.masks.rle import Rle, read_sized
from univs.results import RLE, FrameResult, TrackSpool, encode_rle
from univs.texts import read_text
from univs.video.pictures import picture_sizes, write_picture

CLASSES = {1: "car", 2: "pedestrian"}
REGION = 10_000
"""Id of the region to ignore."""
SEQUENCES = {
    "val": (2, 6, 7, 8, 10, 13, 14, 16, 18),
    "train": (0, 1, 3, 4, 5, 9, 11, 12, 15, 17, 19, 20),
    "test": tuple(range(29)),
}
MAP = "evaluate_mots.seqmap.{split}"
LINE = "frame id class height width rle"


class Instance(NamedTuple):
    """A line of a text file: its place, frame (number in the file names), official id, class, mask."""

    line: int
    frame: int
    number: int
    category: int
    rle: Rle


def read(root: Path, split: str) -> RecordingSet:
    """A split in `root`: val, train or test (without labels). Raises UserError that names what is missing.

    The sequences are those of evaluate_mots.seqmap.SPLIT where it lies in `root`, else the official ones.
    """
    what = f"kitti_mots {split}"
    images = first_folder(root, ("testing/image_02",) if split == "test" else ("training/image_02", "image_02"), what)
    path = root / MAP.format(split=split)
    names = tuple(f"{number:04d}" for number in SEQUENCES[split])
    if path.is_file():
        names = tuple(line.split()[0] for line in read_lines(path, what))
    places = ("instances_txt", "training/instances_txt", "instances", "training/instances")
    labels = None if split == "test" else first_folder(root, places, what)
    make = partial(_recording, images, labels, what)
    return RecordingSet("kitti_mots", split, root, LazyRecordings(make, names), CLASSES, frozenset(CLASSES))


def _recording(images: Path, labels: Path | None, what: str, name: str) -> Recording:
    frames = list_frames(inside(images, name), what)
    if labels is None:
        return Recording(name, frames)
    if labels.name == "instances_txt":
        return _from_text(frames, labels / f"{name}.txt", name, what)
    files = label_files(frames, labels / name, what, all_listed=False)  # KITTI lost four frames of 0001
    pixels = np.zeros(REGION + 1, np.int64)
    for path in files.values():
        pixels += np.bincount(read_instances(path).reshape(-1), minlength=len(pixels))
    numbers = _numbers({int(number): int(pixels[number]) for number in np.flatnonzero(pixels) if number})
    table = np.zeros(REGION + 1, np.uint8)
    table[[*numbers]] = [*numbers.values()]
    return recording_of(name, frames, files, partial(_look_up, table), categories=_categories(numbers))


def _from_text(frames: tuple[Path, ...], path: Path, name: str, what: str) -> Recording:
    found = read_instance_lines(path)
    for one in found:
        _check_ids([one.number], f"{path}, line {one.line}")
    sums: dict[int, int] = {}
    for one, area in zip(found, areas([one.rle for one in found]).tolist(), strict=True):
        sums[one.number] = sums.get(one.number, 0) + area
    numbers = _numbers(dict(sorted(sums.items())))
    places = {frame.stem: place for place, frame in enumerate(frames)}
    by_frame: dict[int, list[Instance]] = {}
    for one in found:
        place = places.get(f"{one.frame:06d}")
        if place is not None:  # KITTI lost four frames of 0001
            by_frame.setdefault(place, []).append(one)
    if found and not by_frame:
        raise UserError(f"{path} labels no frame of {frames[0].parent}")
    height, width = found[0].rle["size"] if found else picture_sizes(frames[0])[0]
    read_labels = partial(_draw, by_frame, numbers, (height, width), path)
    return Recording(name, frames, tuple(range(len(frames))), read_labels, (path,), categories=_categories(numbers))


def _numbers(areas: Mapping[int, int]) -> dict[int, int]:
    """Official id -> id in label maps, from the areas of all objects in the order of their ids."""
    numbers = number_objects([float(area) for area in areas.values()], [number == REGION for number in areas])
    return dict(zip(areas, numbers, strict=True))


def _categories(numbers: Mapping[int, int]) -> dict[int, str]:
    return {own: CLASSES[number // 1000] for number, own in numbers.items() if own != IGNORE}


def _look_up(table: np.ndarray, files: Mapping[int, Path], frame: int) -> FrameLabels:
    return FrameLabels(table[read_instances(files[frame])])


def _draw(
    by_frame: Mapping[int, list[Instance]], numbers: Mapping[int, int], size: tuple[int, int], path: Path, frame: int
) -> FrameLabels:
    found = by_frame.get(frame, [])
    where = [f"{path}, frame {frame}, id {one.number}" for one in found]
    ids, crowd = [numbers[one.number] for one in found], [one.number == REGION for one in found]
    return FrameLabels(paint([one.rle for one in found], ids, size, where.__getitem__, crowd))


def read_instances(path: Path) -> np.ndarray:
    """Official ids H W of a PNG. Raises UserError unless they are those of cars and pedestrians."""
    ids = read_values(path)
    _check_ids([number for number in np.unique(ids).tolist() if number], str(path))
    return ids


def read_instance_lines(path: Path) -> list[Instance]:
    """The lines of a text file, of the ground truth or of results. Raises UserError for one that is not as expected."""
    rows: list[tuple[int, int, int, int]] = []
    masks: list[Rle] = []
    for place, line in enumerate(read_text(path, f"lines of {LINE}").splitlines(), 1):
        parts = line.split()
        if not parts:
            continue
        try:
            frame, number, category, height, width = map(int, parts[:5])
            masks.append({"size": [height, width], "counts": parts[5]})
        except (ValueError, IndexError) as error:
            raise UserError(f"{path}, line {place}: expected {LINE}") from error
        rows.append((place, frame, number, category))
    rles = read_sized(masks, lambda k: f"{path}, line {rows[k][0]}")
    return [Instance(*row, rle) for row, rle in zip(rows, rles, strict=True) if rle is not None]


def _check_ids(numbers: list[int], where: str) -> None:
    for number in numbers:
        if number != REGION and number // 1000 not in CLASSES:
            raise UserError(f"{where}: id {number}; expected 1000 to 2999 or {REGION}")


def lines_of(path: Path) -> Iterator[str]:
    """The lines of the objects on a PNG of official ids whose name is the number of its frame."""
    ids = read_instances(path)
    for number in np.unique(ids[ids > 0]).tolist():
        yield line_of(int(path.stem), number, encode_rle(ids == number))


def line_of(frame: int, number: int, rle: RLE) -> str:
    """`frame id class height width rle`; the class is in the id, 1000 class + instance."""
    return f"{frame} {number} {number // 1000} {rle['size'][0]} {rle['size'][1]} {rle['counts']}"


def write(samples: Iterable[VideoSample], root: Path, split: str) -> None:
    """Writes clips as a split: frames, PNG, text files and a map of the sequences that `univs score` reads.

    Sequences have the numbers of the official ones and, beyond these, of their own. Objects are called cars and
    pedestrians, borrowed where they are neither; what is unknown is a region to ignore. Of test the frames are written.
    """
    lines = []
    for place, sample in enumerate(samples):
        official = SEQUENCES[split]
        own = 1000 * (1 + list(SEQUENCES).index(split)) + place
        name = f"{official[place] if place < len(official) else own:04d}"
        stems = frame_stems(len(sample.frames), 6)
        folder = root / ("testing" if split == "test" else "training") / "image_02" / name
        write_frames(folder, sample, stems, ".png")
        lines.append(f"{name} empty {0:06d} {len(stems) - 1:06d}")
        if split != "test":
            _write_labels(sample, root, name, stems)
    write_lines(root / MAP.format(split=split), lines)


def _write_labels(sample: VideoSample, root: Path, name: str, stems: list[str]) -> None:
    kinds = borrow(sample.categories.values(), CLASSES)
    table = np.zeros(256, np.uint16)
    for number in sample.object_ids():
        table[number] = 1000 * kinds.get(sample.categories.get(number, ""), 1) + number
    table[IGNORE] = REGION
    lines = []
    for frame, (stem, labels) in enumerate(zip(stems, sample.labels, strict=True)):
        write_picture(root / "instances" / name / f"{stem}.png", table[labels])
        for number in [*object_ids(labels), *([IGNORE] if (labels == IGNORE).any() else [])]:
            lines.append(line_of(frame, int(table[number]), encode_rle(labels == number)))
    for folder in ("instances_txt", "label_02"):
        write_lines(root / folder / f"{name}.txt", lines)


class TrackLines(AnswerWriter):
    """Answers as data/SEQUENCE.txt, lines whose masks do not overlap."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        self.pred = folder
        self._names = ClassNames.of(data)

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        with TrackSpool() as spool:

            def take(result: FrameResult) -> None:
                spool.append(replace(result, separate=None))  # in the labels the better of two masks has the pixel

            yield take
            write_lines(self._path(recording), self._lines(recording, spool))

    def has(self, recording: Recording) -> bool:
        return self._path(recording).is_file()

    def _lines(self, recording: Recording, spool: TrackSpool) -> list[str]:
        """Frame by frame; instance k of class c has the id 1000 c + k."""
        lines: list[tuple[int, str]] = []
        instances: Counter[int] = Counter()
        for track in spool.tracks():
            if track.label is None:
                continue
            category = self._names.id_of(track.label, recording.name)
            number = 1000 * category + instances[category]
            instances[category] += 1
            for index, rle in enumerate(track.segmentations):
                if rle is not None:
                    frame = int(recording.frames[index].stem)
                    lines.append((frame, line_of(frame, number, rle)))
        return [line for _, line in sorted(lines, key=lambda pair: pair[0])]

    def _path(self, recording: Recording) -> Path:
        return inside(self.pred / "data", f"{recording.name}.txt")


def truth(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """For the scorer: evaluate_mots.seqmap.val, label_02/SEQUENCE.txt, the text files of the set or made of its PNG."""
    if not all(recording.label_files for recording in recordings):
        return None
    last = {recording.name: max(int(frame.stem) for frame in recording.frames) for recording in recordings}
    lines = [f"{name} empty 000000 {frame:06d}" for name, frame in last.items()]
    write_lines(folder / MAP.format(split="val"), lines)
    for recording in recordings:
        path, files = folder / "label_02" / f"{recording.name}.txt", recording.label_files
        if files[0].suffix == ".txt":
            link(path, files[0])
        else:
            write_lines(path, (line for file in files for line in lines_of(file)))
    return folder
