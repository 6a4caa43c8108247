"""The zip file that the server of a benchmark takes: made, then opened again and checked."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from univs.errors import UserError
from univs.files import atomic_path
from univs.formats import Recording, RecordingSet
from univs.formats.answer_writer import frame_file, wanted_frames
from univs.video.pictures import picture_sizes

RESULTS = "results.json"
BEGINNING = (1980, 1, 1, 0, 0, 0)
"""The time that every file in a zip has, so that equal answers make equal files."""


@dataclass(frozen=True)
class Server:
    """What a server takes.

    splits: those whose ground truth the server alone has. pictures: a video's PNG below the predictions, each with the
    values that it may hold beside 0; None where all answers are one results.json. folder: the one in the zip that holds
    the files; none if empty.
    """

    splits: tuple[str, ...]
    pictures: Callable[[Recording], Mapping[str, frozenset[int]]] | None = None
    folder: str = ""

    def submission(self, path: Path, pred: Path, data: RecordingSet, recordings: Sequence[Recording]) -> Path:
        """Makes the zip file at `path` and checks it.

        Raises UserError for what the server would not take: files that are missing, of another size, with other ids.
        """
        with atomic_path(path) as temporary:
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
                for file, name in self._members(pred, recordings):
                    if not file.is_file():
                        raise UserError(f"the submission needs {file}, which is missing")
                    with archive.open(zipfile.ZipInfo(name, BEGINNING), "w") as inside, open(file, "rb") as outside:
                        while piece := outside.read(1 << 20):
                            inside.write(piece)
            self.check(temporary, data, recordings)
        return path

    def check(self, path: Path, data: RecordingSet, recordings: Sequence[Recording]) -> None:
        """Raises UserError unless the zip file holds the answers of these videos, all of them and nothing else."""
        with zipfile.ZipFile(path) as archive:
            wanted = {name for _, name in self._members(Path(), recordings)}
            there = {name for name in archive.namelist() if not name.endswith("/")}
            if wrong := sorted(wanted ^ there):
                raise UserError(f"{path}: {wrong[0]} {'is missing' if wrong[0] in wanted else 'is not asked for'}")
            if self.pictures is None:
                check_results(archive, data, recordings)
                return
            for recording in recordings:
                size = frame_size(recording)
                for name, values in self.pictures(recording).items():
                    check_picture(archive, f"{self.folder}{name}", size, values)

    def _members(self, pred: Path, recordings: Sequence[Recording]) -> Iterator[tuple[Path, str]]:
        """The files, and their names in the zip."""
        if self.pictures is None:
            yield pred, RESULTS
            return
        for recording in recordings:
            for name in self.pictures(recording):
                yield pred / name, f"{self.folder}{name}"


def masks_of_objects(recording: Recording) -> dict[str, frozenset[int]]:
    """VIDEO/FRAME.png of the frames that are asked for, with the ids of the objects shown."""
    ids = frozenset(recording.shown)
    return {f"{recording.name}/{frame_file(recording, index)}": ids for index in wanted_frames(recording)}


def masks_of_expressions(recording: Recording) -> dict[str, frozenset[int]]:
    """VIDEO/EXPRESSION/FRAME.png, 255 inside."""
    names = [frame_file(recording, index) for index in wanted_frames(recording)]
    inside = frozenset({255})
    return {f"{recording.name}/{said.key}/{name}": inside for said in recording.expressions for name in names}


def check_picture(archive: zipfile.ZipFile, name: str, size: tuple[int, int], values: frozenset[int]) -> None:
    """Raises UserError unless a PNG of the archive is a map of this height and width that holds these values alone."""
    try:
        with Image.open(io.BytesIO(archive.read(name))) as image:
            pixels, mode = np.asarray(image), image.mode
    except OSError as error:
        raise UserError(f"{archive.filename}: {name} cannot be read: {error}") from error
    if mode not in ("P", "L") or pixels.shape != size:
        found = "x".join(map(str, pixels.shape[:2]))
        expected = f"{size[0]}x{size[1]}"
        raise UserError(
            f"{archive.filename}: {name} is {mode} {found} (height x width); expected an index map {expected}"
        )
    unknown = set(np.flatnonzero(np.bincount(pixels.reshape(-1))).tolist()) - values - {0}
    if unknown:
        raise UserError(f"{archive.filename}: {name} holds {min(unknown)}, which is no object of the video")


def check_results(archive: zipfile.ZipFile, data: RecordingSet, recordings: Sequence[Recording]) -> None:
    """Raises UserError unless results.json, read entry by entry, speaks of these videos and of the set's classes."""
    videos = {recording.key: recording for recording in recordings}
    sizes: dict[Any, list[int]] = {}
    with archive.open(RESULTS) as file:
        for place, entry in enumerate(entries_of(file)):
            what = f"{archive.filename}: result {place} of {RESULTS}"
            key, masks = entry["video_id"], entry["segmentations"]
            if key not in videos:
                raise UserError(f"{what} is of video {key}, which was not asked for")
            if entry["category_id"] not in data.classes:
                raise UserError(f"{what} has the category {entry['category_id']}, which {data.name} does not name")
            if not math.isfinite(entry["score"]):
                raise UserError(f"{what} has the score {entry['score']}; expected a number")
            if len(masks) != len(videos[key]):
                raise UserError(f"{what} has {len(masks)} segmentations; video {key} has {len(videos[key])} frames")
            if key not in sizes:
                sizes[key] = list(frame_size(videos[key]))
            for mask in masks:
                if mask is not None and mask["size"] != sizes[key]:
                    raise UserError(f"{what} has a mask of {mask['size']}; expected {sizes[key]} (height, width)")


def entries_of(file: Any) -> Iterator[dict[str, Any]]:
    """The entries of a JSON array written one a line (`write_json_array`), one in memory at a time."""
    for line in file:
        text = line.decode("utf-8").strip().rstrip(",")
        if text not in ("[", "]", ""):
            yield json.loads(text)


def frame_size(recording: Recording) -> tuple[int, int]:
    """Height and width of the frames, read from the head of the first one's file. UserError if it cannot be read."""
    return picture_sizes(recording.frames[0])[0]
