"""Data sets as sources of training clips: annotated frames as videos, single images as photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from univs.data.photo import Photo, shrink
from univs.errors import UserError
from univs.formats import Recording, RecordingSet, read_set
from univs.formats.davis import read_folder
from univs.formats.files import read_names
from univs.settings import Count


class AnnotatedVideo:
    """The annotated frames of a recording, by their place among them (a `LabelledVideo`)."""

    def __init__(self, recording: Recording) -> None:
        self.recording, self.complete = recording, recording.complete

    def __len__(self) -> int:
        return len(self.recording.annotated)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame H W 3 uint8 and labels H W uint8."""
        return self.recording.read(index)


class SetPhotos:
    """The images of a set, each a recording of one frame (a `PhotoSource`).

    recordings: those to take. classes: whether the set names what its images show. longest: of a side, in pixels.
    """

    def __init__(self, name: str, recordings: Sequence[Recording], *, classes: bool, longest: Count = 400) -> None:
        self.name, self._recordings, self._classes, self._longest = name, recordings, classes, longest

    def __len__(self) -> int:
        return len(self._recordings)

    def nouns(self, index: int) -> frozenset[str]:
        return frozenset(self._recordings[index].categories.values()) if self._classes else frozenset()

    def __getitem__(self, index: int) -> Photo:
        recording = self._recordings[index]
        image, labels = recording.read(0)
        image, labels = shrink(image, labels, self._longest)
        return Photo(
            image, labels, dict(recording.categories), recording.complete, name=f"{self.name}/{recording.name}"
        )


def open_folder(
    root: str | Path,
    exclude: str | Path | list[str] | None = None,
    image_set: str | Path | None = None,
    complete: bool = False,
) -> list[AnnotatedVideo]:
    """The sequences of a folder laid out as DAVIS is (see `univs.formats.davis.read_folder`)."""
    data = read_folder(Path(root), exclude=exclude, image_set=image_set, complete=complete)
    return [AnnotatedVideo(recording) for recording in data.recordings]


def open_set(
    name: str,
    root: str | Path,
    split: str = "train",
    exclude: str | Path | list[str] | None = None,
    longest: Count = 400,
) -> list[AnnotatedVideo] | SetPhotos:
    """The labelled videos of a public set, or its photos where its recordings are images.

    exclude: names of recordings to leave out, a list or a text file. longest: side of a photo, in pixels. Raises
    UserError for what `read_set` refuses, and where nothing labelled is left.
    """
    data = read_set(name, root, split)
    banned = read_names(exclude)
    recordings = chosen(data, banned)
    if len(recordings) and len(recordings[0].frames) == 1:
        return SetPhotos(data.name, recordings, classes=bool(data.classes), longest=longest)
    videos = [AnnotatedVideo(recording) for recording in recordings if recording.annotated]
    if not videos:
        raise UserError(f"{name} in {root}: the split {split} has no labelled video left to train on")
    return videos


def chosen(data: RecordingSet, banned: frozenset[str]) -> Sequence[Recording]:
    """The recordings that are not banned; all of them, made when asked for, if none is."""
    return [recording for recording in data.recordings if recording.name not in banned] if banned else data.recordings
