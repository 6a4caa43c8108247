"""Label maps of classes (semantic segmentation): every class is one segment, of a thing or of stuff."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from univs.errors import UserError
from univs.formats.answer_writer import VideoFolders, frame_file
from univs.formats.borrowed_names import borrow_segments
from univs.formats.class_names import ClassNames
from univs.formats.label_maps import recording_of
from univs.formats.recording import FrameLabels, Recording, RecordingSet
from univs.formats.sample import IGNORE, VideoSample
from univs.masks.mask_files import read_values
from univs.results import FrameResult
from univs.video.pictures import write_picture


@dataclass(frozen=True)
class ClassCodes:
    """How a set stores classes in its label maps, and which segments they become.

    classes: official id -> name. things: the ids among them that are things. first: the segment of class id 0 (so that
    none is 0). void: stored values that mean "unknown"; the first of them is written.
    """

    classes: Mapping[int, str]
    things: frozenset[int]
    first: int
    void: tuple[int, ...]

    @property
    def categories(self) -> dict[int, str]:
        """Segment -> name, of things."""
        return {number + self.first: name for number, name in self.classes.items() if number in self.things}

    @property
    def stuff(self) -> dict[int, str]:
        """Segment -> name, of stuff."""
        return {number + self.first: name for number, name in self.classes.items() if number not in self.things}

    def read(self, files: Mapping[int, Path], frame: int) -> FrameLabels:
        """The segments of a frame; those of things are its objects, though they are classes: people are one object.

        Raises UserError for a stored value that is neither a class nor void.
        """
        stored = read_values(files[frame])
        table = np.zeros(max(256, int(stored.max(initial=0)) + 1), np.uint8)
        table[[*self.classes]] = [number + self.first for number in self.classes]
        table[list(self.void)] = IGNORE
        panoptic = table[stored]
        if not panoptic.all():
            known = f"{min(self.classes)} to {max(self.classes)}"
            raise UserError(f"{files[frame]} holds class {stored[panoptic == 0].max()}; expected {known} or void")
        things = np.zeros(256, np.uint8)
        things[[*self.categories, IGNORE]] = [*self.categories, IGNORE]
        return FrameLabels(things[panoptic], panoptic)

    def recording(self, name: str, frames: tuple[Path, ...], files: Mapping[int, Path]) -> Recording:
        """A video (or image) whose frames have these label maps, by their place, ascending."""
        named = {"categories": self.categories, "stuff": self.stuff}
        return recording_of(name, frames, files, self.read, **named, complete=True)

    def of(self, sample: VideoSample) -> np.ndarray:
        """T H W uint8: a clip as the set stores it, classes borrowed (see `borrow_segments`).

        Raises UserError if the clip has no panoptic map.
        """
        if sample.panoptic is None:
            raise UserError(f"clip {sample.name} has no panoptic map, which maps of classes are made of")
        table = np.full(256, self.void[0], np.uint8)
        for number, kind in borrow_segments(sample, self.classes, self.things).items():
            table[number] = kind
        table[IGNORE] = self.void[0]
        return table[sample.panoptic]


class ClassFolders(VideoFolders):
    """Answers as VIDEO/FRAME.png, grey, the official id of the class less `lowest` (VSPW)."""

    def __init__(self, folder: Path, data: RecordingSet, lowest: int = 1) -> None:
        super().__init__(folder, data)
        self._names, self._lowest = ClassNames.of(data), lowest

    def write(self, recording: Recording, folder: Path, result: FrameResult) -> None:
        write_picture(folder / frame_file(recording, result.frame_index), self.classes(recording, result))

    def classes(self, recording: Recording, result: FrameResult) -> np.ndarray:
        """H W uint8 numbers of classes, 255 where none was answered."""
        table = np.full(max(result.object_ids, default=0) + 1, IGNORE, np.uint8)
        for number in result.object_ids:
            table[number] = self._names.id_of(result.names[number], recording.name) - self._lowest
        return table[result.labels]
