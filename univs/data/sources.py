"""Data sets as sources of training clips: annotated frames as videos, single images as photos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from univs.data.photo import Photo, shrink
from univs.errors import UserError
from univs.formats import Recording, RecordingSet, box_tables, coco_boxes, davis, image_folder, photo_masks, read_set
from univs.formats.files import read_names
from univs.settings import Count


class SetPhotos:
    """Images, each a recording of one frame (a `PhotoSource`).

    name: of the set. nouns: place of an image -> the categories on it. longest: of a side, in pixels.
    """

    def __init__(
        self, name: str, recordings: Sequence[Recording], nouns: Callable[[int], Iterable[str]], longest: int
    ) -> None:
        self.name, self._recordings, self._nouns, self._longest = name, recordings, nouns, longest

    def __len__(self) -> int:
        return len(self._recordings)

    def nouns(self, index: int) -> frozenset[str]:
        return frozenset(self._nouns(index))

    def __getitem__(self, index: int) -> Photo:
        recording = self._recordings[index]
        image, labels = shrink(*recording.read(0), self._longest)
        return Photo(image, labels, dict(recording.categories), recording.complete, recording.name)


def open_videos(
    root: str | Path,
    exclude: str | Path | list[str] | None = None,
    image_set: str | Path | None = None,
    complete: bool = False,
) -> list[Recording]:
    """The sequences of a folder laid out as DAVIS is (see `univs.formats.davis.read_folder`)."""
    data = davis.read_folder(Path(root), exclude=exclude, image_set=image_set, complete=complete)
    return list(data.recordings)


def open_masks(
    root: str | Path,
    category: str | None = None,
    exclude: str | Path | list[str] | None = None,
    longest: Count = 400,
) -> SetPhotos:
    """Photos with a mask each (see `univs.formats.photo_masks.read_folder`)."""
    data = photo_masks.read_folder(Path(root), category=category, exclude=exclude)
    return SetPhotos(data.name, data.recordings, partial(_categories, data.recordings), longest)


def open_images(
    root: str | Path,
    exclude: str | Path | list[str] | None = None,
    complete: bool = True,
    longest: Count = 400,
) -> SetPhotos:
    """The objects on images of one's own (see `univs.formats.image_folder.read_folder`); stuff is passed over.

    `complete` False says that things of other categories may be unlabelled.
    """
    folder = image_folder.read_folder(Path(root), exclude=exclude, complete=complete, stuffed=False).with_things()
    return SetPhotos(folder.name, folder.recordings, folder.things, longest)


def open_image_boxes(
    root: str | Path,
    exclude: str | Path | list[str] | None = None,
    complete: bool = True,
    longest: Count = 400,
) -> Sequence[Recording]:
    """The boxes of `annotations.json` beside `images/`, masks unread (see `univs.formats.coco_boxes.read_folder`).

    longest: as `open_images` takes it; what is seen of an image is scaled to the size of a clip in any case.
    """
    return coco_boxes.read_folder(Path(root), exclude=exclude, complete=complete).recordings


def open_mot(
    root: str | Path, exclude: str | Path | list[str] | None = None, complete: bool = False
) -> Sequence[Recording]:
    """The sequences of a folder laid out as MOT challenges are (see `univs.formats.box_tables.read_mot`)."""
    return box_tables.read_mot(Path(root), exclude=exclude, complete=complete).recordings


def open_box_table(
    root: str | Path, exclude: str | Path | list[str] | None = None, complete: bool = False
) -> Sequence[Recording]:
    """The videos that `boxes.csv` has boxes of (see `univs.formats.box_tables.read_csv`)."""
    return box_tables.read_csv(Path(root), exclude=exclude, complete=complete).recordings


def open_set(
    name: str,
    root: str | Path,
    split: str = "train",
    exclude: str | Path | list[str] | None = None,
    longest: Count = 400,
) -> list[Recording] | SetPhotos:
    """The labelled videos of a public set, or its photos where its recordings are images.

    exclude: names of recordings to leave out, a list or a text file. longest: side of a photo, in pixels. Raises
    UserError for what `read_set` refuses, and where nothing labelled is left.
    """
    data = read_set(name, root, split)
    banned = read_names(exclude)
    recordings = chosen(data, banned)
    if len(recordings) and len(recordings[0].frames) == 1:
        nouns = partial(_categories, recordings) if data.classes else _unnamed
        return SetPhotos(data.name, recordings, nouns, longest)
    videos = [recording for recording in recordings if recording.annotated]
    if not videos:
        raise UserError(f"{name} in {root}: the split {split} has no labelled video left to train on")
    return videos


def _categories(recordings: Sequence[Recording], index: int) -> Iterable[str]:
    return recordings[index].categories.values()


def _unnamed(index: int) -> Iterable[str]:
    return ()


def chosen(data: RecordingSet, banned: frozenset[str]) -> Sequence[Recording]:
    """The recordings that are not banned; all of them, made when asked for, if none is."""
    return [recording for recording in data.recordings if recording.name not in banned] if banned else data.recordings
