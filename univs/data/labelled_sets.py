"""Data sets as the official training reads them: clips with ids, classes of the set's own names, and expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np

from univs.data.pack import open_pack
from univs.data.photo import Photo
from univs.data.source_settings import OpenedSource, Reader
from univs.data.sources import chosen
from univs.data.video_scenes import LabelledVideo
from univs.errors import UserError
from univs.formats import davis, image_folder, photo_masks, read_set
from univs.formats.files import read_names
from univs.formats.sample import VideoSample
from univs.settings import Among, SomeAboveZero, Weight, Within
from univs.vocabularies import plain_name

Question = Literal["shown", "categories", "expressions"]
"""What the prompt queries of a batch are asked for: objects shown on a frame, categories, or described objects."""
QUESTIONS: tuple[Question, ...] = ("shown", "categories", "expressions")
Questions = Annotated[Mapping[Question, Weight], Among(QUESTIONS), SomeAboveZero()]
Near = Annotated[int, Within(1, 64)]
"""Labelled frames between two frames of a clip, at most on either side: the position of time knows 128 frames."""

SHOWN_SHARE = 0.31
"""Of the batches of a set with classes: the official draw is a normal value above 0.5."""


class LabelledFrames(Protocol):
    """A video, or an image: a `Recording`, for one."""

    @property
    def annotated(self) -> Sequence[int]:
        """The frames that have labels."""
        ...

    def sample(self, places: Sequence[int] | None = None) -> VideoSample:
        """The frames at some places of `annotated`, with their labels."""
        ...


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Videos or images of one data set, and what may be asked about them.

    classes: names of the set, in its order; empty where it has none. described: whether its objects have expressions.
    questions: shares of what is asked; empty: what the set is for. near: of the frames of a clip; None: as the stage
    says.
    """

    videos: Sequence[LabelledFrames]
    classes: tuple[str, ...] = ()
    described: bool = False
    questions: Mapping[Question, float] = field(default_factory=dict)
    near: int | None = None

    def __len__(self) -> int:
        return len(self.videos)

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """Name, as the set writes it or as a person would say it -> class."""
        written = {name: number for number, name in enumerate(self.classes)}
        return {**{plain_name(name): number for name, number in written.items()}, **written}

    @property
    def shares(self) -> Mapping[Question, float]:
        """Questions and how often they are asked."""
        if self.questions:
            return self.questions
        if self.described:
            return {"expressions": 1.0}
        return {"shown": SHOWN_SHARE, "categories": 1 - SHOWN_SHARE} if self.classes else {"shown": 1.0}

    def asking(self, questions: Mapping[Question, float] | None, near: int | None, where: str) -> LabelledSet:
        """The same under settings of a source. Raises UserError for questions to which it has no answer."""
        lacks = {"categories": not self.classes, "expressions": not self.described}
        for question, share in (questions or {}).items():
            if share > 0 and lacks.get(question):
                raise UserError(f"{where} has no {question} to be asked for; leave {question} out of `ask`")
        return replace(self, questions=dict(questions or {}), near=near)


def open_set(
    name: str,
    root: str | Path,
    split: str = "train",
    exclude: str | Path | list[str] | None = None,
    ask: Questions | None = None,
    near: Near | None = None,
) -> LabelledSet:
    """The labelled videos or images of a public set; arguments as for `univs.data.sources.open_set`.

    Raises UserError for what `read_set` refuses, and where nothing labelled is left.
    """
    data = read_set(name, root, split)
    recordings = chosen(data, read_names(exclude))
    if len(recordings) and len(recordings[0].frames) > 1:
        recordings = [recording for recording in recordings if recording.annotated]
    if not recordings:
        raise UserError(f"{name} in {root}: the split {split} has nothing labelled left to train on")
    described = any(one.object_id is not None for one in recordings[0].expressions)
    found = LabelledSet(recordings, tuple(data.classes.values()), described)
    return found.asking(ask, near, f"{name} in {root}")


def open_images(
    root: str | Path,
    expressions: str | Path | None = None,
    exclude: str | Path | list[str] | None = None,
    ask: Questions | None = None,
) -> LabelledSet:
    """Images of one's own with names (see `univs.formats.image_folder.read_folder`), stuff included where labelled."""
    said = None if expressions is None else Path(expressions)
    folder = image_folder.read_folder(Path(root), expressions=said, exclude=exclude)
    classes = tuple(dict.fromkeys(folder.source.names.values()))
    return LabelledSet(folder.recordings, classes, said is not None).asking(ask, None, f"coco {root}")


def open_videos(
    root: str | Path,
    exclude: str | Path | list[str] | None = None,
    image_set: str | Path | None = None,
    near: Near | None = None,
) -> LabelledSet:
    """The sequences of a folder laid out as DAVIS is (see `univs.formats.davis.read_folder`); they have no classes."""
    data = davis.read_folder(Path(root), exclude=exclude, image_set=image_set)
    return LabelledSet(data.recordings, near=near)


def open_masks(root: str | Path, exclude: str | Path | list[str] | None = None) -> LabelledSet:
    """Photos with a mask each (see `univs.formats.photo_masks.read_folder`); they have no classes."""
    return LabelledSet(photo_masks.read_folder(Path(root), exclude=exclude).recordings)


def open_packed(file: str | Path) -> list[OpenedSource]:
    """The photos and videos of a file that `univs datasets pack` wrote for clips; a pack keeps no list of classes."""
    return [one._replace(source=LabelledSet(PackedFrames(one.source))) for one in open_pack(file, "clips")]


@dataclass(frozen=True)
class ReadFrames:
    """Frames of a pack as a video that can be sampled."""

    source: LabelledVideo | Photo

    @property
    def annotated(self) -> Sequence[int]:
        return range(1) if isinstance(self.source, Photo) else self.source.annotated

    def sample(self, places: Sequence[int] | None = None) -> VideoSample:
        if isinstance(self.source, Photo):
            return VideoSample(self.source.image[None], self.source.labels[None])
        pairs = [self.source.read(place) for place in (range(len(self.annotated)) if places is None else places)]
        return VideoSample(np.stack([frame for frame, _ in pairs]), np.stack([labels for _, labels in pairs]))


@dataclass(frozen=True)
class PackedFrames(Sequence[LabelledFrames]):
    """The photos (a `PhotoSource`) or videos (`LabelledVideo`) of a pack, each read when asked for."""

    source: Any

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: Any) -> Any:
        return ReadFrames(self.source[index])


SET_READERS = {
    "photos": Reader(open_masks),
    "coco": Reader(open_images),
    "videos": Reader(open_videos),
    "set": Reader(open_set),
    "pack": Reader(open_packed, several=True),
}
"""Kind of a source -> what reads it."""
