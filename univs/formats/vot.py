"""VOT-style folders: frames, and a quadrilateral or box around one object on each; answers as the challenge has them.

    ROOT/[sequences/][list.txt]                       SEQUENCE lines; else all folders with a groundtruth.txt, by name
    ROOT/[sequences/]SEQUENCE/groundtruth.txt         a line per frame: x1,y1,x2,y2,x3,y3,x4,y4 or x,y,width,height
    ROOT/[sequences/]SEQUENCE/[color/]00000001.jpg    frames, by name
    PRED/baseline/SEQUENCE/SEQUENCE_001.txt           a line per frame: 1 begun, 2 failed, 0 passed over, or a region

Source: Kristan et al., "A Novel Performance Evaluation Methodology for Single-Target Trackers", PAMI 2016. Regions are
P 2 arrays of x, y in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.formats.answer_writer import AnswerWriter, Take
from univs.formats.files import first_folder, inside, list_frames, read_lines, write_lines
from univs.formats.recording import Recording, RecordingSet
from univs.formats.truth_files import link
from univs.masks.polygon_overlaps import polygon_overlap
from univs.masks.rotated_boxes import rotated_box
from univs.results import FrameResult

Region = NDArray[np.float64]
BEGUN, FAILED, PASSED = "1", "2", "0"
"""Lines of answers that are no regions."""
SKIPPED = 5
"""Frames from a failure to the next beginning."""
TRUTH, EXPERIMENT = "groundtruth.txt", "baseline"
OBJECT = 1
"""The id of the one object."""


def read(root: Path, sequences: Sequence[str] | None = None) -> RecordingSet:
    """The sequences of a folder, or those named. Raises UserError for what is missing or does not fit."""
    home = home_of(root)
    names = sequence_names(home)
    if sequences is not None:
        for name in sequences:
            if name not in names:
                raise UserError(f"vot: no sequence {name} in {home}; there are {', '.join(names)}")
        names = list(dict.fromkeys(sequences))
    return RecordingSet("vot", "", root, [_recording(home, name) for name in names])


def home_of(root: Path) -> Path:
    """The folder of the sequences. Raises UserError if there is none."""
    if not root.is_dir():
        raise UserError(f"vot: no folder {root}")
    return root / "sequences" if (root / "sequences").is_dir() else root


def sequence_names(home: Path) -> list[str]:
    """The sequences that list.txt names, or else all. Raises UserError if there is none."""
    if (home / "list.txt").is_file():
        names = list(dict.fromkeys(read_lines(home / "list.txt", "sequences")))
    else:
        names = sorted(path.parent.name for path in home.glob(f"*/{TRUTH}"))
    if not names:
        raise UserError(f"vot: no sequence in {home}; a folder with a {TRUTH} and frames is one")
    return names


def _recording(home: Path, name: str) -> Recording:
    folder = inside(home, name)
    truth = folder / TRUTH
    frames = list_frames(first_folder(folder, ("color", "."), f"vot {name}"), f"vot {name}")
    regions = read_regions(truth)
    if len(regions) != len(frames):
        raise UserError(f"{truth} has {len(regions)} lines for {len(frames)} frames; one for each is needed")
    if all(region is None for region in regions):
        raise UserError(f"{truth} tells nowhere where the object is")
    return Recording(name, frames, label_files=(truth,))


def read_regions(path: Path) -> list[Region | None]:
    """The true region of each frame, None where the object is not there (NaN). Raises UserError for other lines."""
    if not path.is_file():
        raise UserError(f"vot: no file {path}")
    return [
        region_of_line(line, f"{path}, line {number}") for number, line in enumerate(read_lines(path, "regions"), 1)
    ]


def region_of_line(line: str, where: str) -> Region | None:
    """x, y, width, height or the corners of a polygon -> P 2; None for NaN. UserError, naming where, for others."""
    try:
        numbers = [float(part) for part in line.replace("\t", ",").split(",")]
    except ValueError:
        raise UserError(f"{where}: {line[:40]!r} is no region: numbers, comma separated") from None
    if len(numbers) not in (4, 8) and (len(numbers) < 6 or len(numbers) % 2):
        raise UserError(f"{where}: {len(numbers)} numbers; a box has 4, a quadrilateral 8")
    if any(map(math.isnan, numbers)):
        return None
    if not all(map(math.isfinite, numbers)):
        raise UserError(f"{where}: {line[:40]!r} holds a number that is not finite")
    if len(numbers) == 4:
        x, y, width, height = numbers
        return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    return np.array(numbers).reshape(-1, 2)


def line_of_region(region: Region) -> str:
    """A region as a line."""
    return ",".join(f"{value:.4f}" for value in region.reshape(-1))


def predicted_region(result: FrameResult) -> Region | None:
    """What an answer says of the object: its rotated box, or that of its mask; None if it is nowhere."""
    if OBJECT in result.rotated_boxes:
        return np.array(result.rotated_boxes[OBJECT], np.float64)
    if OBJECT not in result.object_ids:
        return None
    return rotated_box(result.mask(OBJECT), 0.0)


class ResetProtocol:
    """Who is asked when: from the first true region on; once nothing of it is met, again `SKIPPED` frames later.

    Args:
        truth: region of each frame, None where nothing is known; there nobody fails or begins. Nobody begins either
            where none of it lies in the frame.
    """

    def __init__(self, truth: Sequence[Region | None]) -> None:
        self._truth, self._next, self._running = truth, 0, False

    def begins(self, index: int, size: tuple[int, int]) -> bool:
        """Whether the object is shown on this frame (of height x width pixels)."""
        truth = self._truth[index]
        if self._running or index < self._next or truth is None:
            return False
        return polygon_overlap(truth, truth, size) > 0

    def take(self, index: int, predicted: Region | None, size: tuple[int, int]) -> str:
        """The line of a frame (of height x width pixels), in the order of the frames; predicted: of those asked."""
        if self.begins(index, size):
            self._running = True
            return BEGUN
        if not self._running:
            return PASSED
        truth = self._truth[index]
        if truth is None:
            return PASSED if predicted is None else line_of_region(predicted)
        if predicted is None or polygon_overlap(predicted, truth, size) == 0:
            self._running, self._next = False, index + SKIPPED
            return FAILED
        return line_of_region(predicted)


class RegionFiles(AnswerWriter):
    """PRED/baseline/SEQUENCE/SEQUENCE_001.txt."""

    def __init__(self, folder: Path) -> None:
        self.pred = folder

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        protocol = ResetProtocol(read_regions(recording.label_files[0]))
        lines: list[str] = []

        def take(result: FrameResult) -> None:
            lines.append(protocol.take(result.frame_index, predicted_region(result), result.labels.shape[:2]))

        yield take
        write_lines(self._path(recording), lines)

    def has(self, recording: Recording) -> bool:
        path = self._path(recording)
        return path.is_file() and len(read_lines(path, "regions")) == len(recording)

    def finish(self, recordings: Sequence[Recording]) -> None:
        """Every file is there already."""

    def _path(self, recording: Recording) -> Path:
        return inside(self.pred, f"{EXPERIMENT}/{recording.name}/{recording.name}_001.txt")


def truth(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path:
    """For the scorer: the sequences that were answered."""
    for recording in recordings:
        for path in (*recording.label_files, *recording.frames):
            link(folder / recording.name / path.name, path)
    write_lines(folder / "list.txt", [recording.name for recording in recordings])
    return folder
