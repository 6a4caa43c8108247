"""Videos whose boxes lie in text, one a line: MOT challenge folders, and a CSV file of one's own.

Nothing says where objects are on frames without a line: these are left out.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from univs.errors import UserError
from univs.formats.boxes import Box, FrameBoxes, box_of_corner
from univs.formats.files import folder_name, inside, is_named, list_frames, read_lines, read_names, require_folder
from univs.formats.recording import Recording, RecordingSet
from univs.texts import read_text

MOT = "MOT sequences"
MOT_LINE = "frame,id,x,y,width,height[,counted,...] (frames from 1)"
CSV = "boxes.csv"
COLUMNS = ("video", "frame", "id", "x", "y", "width", "height")

Table = dict[int, dict[str, Box]]
"""Frame (from 0) -> object as the file calls it -> box."""


def read_mot(root: Path, *, exclude: str | Path | list[str] | None = None, complete: bool = False) -> RecordingSet:
    """Every SEQUENCE/img1/*.jpg with its SEQUENCE/gt/gt.txt; lines whose seventh entry is 0 do not count.

    exclude: names of sequences, a list or a text file. complete: whether every object has a box. Raises UserError for
    missing folders, lines that do not fit and frames that are not there.
    """
    banned, name = read_names(exclude), folder_name(root)
    folders = sorted(path.parent.parent for path in require_folder(root, MOT).glob("*/gt/gt.txt"))
    chosen = [folder for folder in folders if not is_named(banned, name, folder.name)]
    if not chosen:
        raise UserError(f"{MOT}: no SEQUENCE/gt/gt.txt left to read in {root}")
    recordings = []
    for folder in chosen:
        path = folder / "gt" / "gt.txt"
        rows = (_mot_row(line, f"{path}: {line!r:.60}") for line in read_lines(path, "boxes"))
        frames = list_frames(folder / "img1", f"sequence {folder.name}")
        recordings.append(_recording(f"{name}/{folder.name}", frames, _table(rows), complete, path))
    return RecordingSet(name, "", root, tuple(recordings))


def _mot_row(line: str, where: str) -> tuple[int, str, Box] | None:
    """Frame from 0, id and box of a line; None for one that does not count."""
    entries = [entry.strip() for entry in line.split(",")]
    try:
        if len(entries) < 6:
            raise ValueError(f"{len(entries)} entries")
        if len(entries) > 6 and float(entries[6]) == 0:
            return None
        return _whole(entries[0]) - 1, str(_whole(entries[1])), box_of_corner([float(entry) for entry in entries[2:6]])
    except ValueError as error:
        raise UserError(f"{where}: {error}; a line is {MOT_LINE}") from error


def read_csv(root: Path, *, exclude: str | Path | list[str] | None = None, complete: bool = False) -> RecordingSet:
    """The videos JPEGImages/VIDEO/*.jpg that boxes.csv has boxes of; its first line names the columns `COLUMNS`.

    A frame is counted from 0, or called by its file. exclude: names of videos, a list or a text file. complete: whether
    every object has a box. Raises UserError for missing files and folders, lines that do not fit and frames that are
    not there.
    """
    path, images = root / CSV, require_folder(root / "JPEGImages", "videos with boxes")
    banned, home = read_names(exclude), folder_name(root)
    lines = csv.DictReader(read_text(path, f"boxes: {','.join(COLUMNS)}").splitlines(), skipinitialspace=True)
    missing = [name for name in COLUMNS if name not in (lines.fieldnames or ())]
    if missing:
        raise UserError(f"{path} has no column {missing[0]}; its first line is {','.join(COLUMNS)}")
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in lines:
        rows[str(row["video"])].append(row)
    recordings = []
    for name in (name for name in rows if not is_named(banned, home, name)):
        frames = list_frames(inside(images, name), f"video {name}")
        places = {file.stem: place for place, file in enumerate(frames)}
        table = _table(_csv_row(row, places, f"{path}, video {name}") for row in rows[name])
        recordings.append(_recording(f"{home}/{name}", frames, table, complete, path))
    if not recordings:
        raise UserError(f"{path}: no video left to read")
    return RecordingSet(home, "", root, tuple(recordings))


def _csv_row(row: Mapping[str, str], places: Mapping[str, int], where: str) -> tuple[int, str, Box]:
    """Frame from 0, id and box of a line."""
    try:
        given = [row[name] for name in COLUMNS]
        if None in given:
            raise ValueError(f"no {COLUMNS[given.index(None)]}")  # type: ignore[arg-type]
        frame = row["frame"].strip()
        place = places.get(Path(frame).stem)
        box = box_of_corner([float(row[name]) for name in COLUMNS[3:]])
        return _whole(frame) if place is None else place, row["id"].strip(), box
    except ValueError as error:
        raise UserError(f"{where}: {error}; a line is {','.join(COLUMNS)}") from error


def _whole(text: str) -> int:
    number = float(text)
    if not number.is_integer():  # infinity is none
        raise ValueError(f"{text!r:.20} is no whole number")
    return int(number)


def _table(rows: Iterable[tuple[int, str, Box] | None]) -> Table:
    found: Table = defaultdict(dict)
    for row in rows:
        if row is not None:
            frame, number, box = row
            found[frame][number] = box
    return dict(found)


def _recording(name: str, frames: Sequence[Path], table: Table, complete: bool, path: Path) -> Recording:
    """A video; its objects are numbered from 1 in the order in which they appear."""
    astray = [frame for frame in table if not 0 <= frame < len(frames)]
    if astray:
        raise UserError(f"{path}: a box on frame number {astray[0]} (from 0) of {name}, which has {len(frames)} frames")
    annotated = tuple(sorted(table))
    ids = {number: place for place, number in enumerate(dict.fromkeys(_in_order(table, annotated)), 1)}
    boxes = {frame: {ids[number]: box for number, box in table[frame].items()} for frame in annotated}
    return Recording(name, tuple(frames), annotated, boxes=partial(_frame_boxes, boxes=boxes), complete=complete)


def _in_order(table: Table, frames: Sequence[int]) -> Iterator[str]:
    for frame in frames:
        yield from table[frame]


def _frame_boxes(index: int, *, boxes: Mapping[int, FrameBoxes]) -> FrameBoxes:
    return boxes[index]
