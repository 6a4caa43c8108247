"""One video (or image) of a public set as it lies on disk, read frame by frame, and a set of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from univs.errors import UserError
from univs.formats.boxes import FrameBoxes, tight_boxes
from univs.formats.label_pixels import require_same_size
from univs.formats.sample import VideoSample
from univs.masks.mask_files import is_mask
from univs.video.pictures import read_rgb


@dataclass(frozen=True)
class FrameLabels:
    """What is labelled on one frame of H x W pixels.

    objects: H W uint8, ids of objects 1..254, 0 background, 255 where nothing is known. panoptic: the same with ids of
    stuff too, where a set labels it (see `VideoSample`).
    """

    objects: np.ndarray
    panoptic: np.ndarray | None = None


@dataclass(frozen=True)
class Expression:
    """One sentence that a set asks about a video.

    key: the set's own name of it, a relative path below the video where predictions go ("0", "anno_2/1").
    object_id: of the object that is meant; None where the set does not tell (server splits).
    """

    key: str
    text: str
    object_id: int | None = None


@dataclass(frozen=True)
class Recording:
    """A video of a public set; nothing of it is in memory until a frame or its labels are asked for.

    name: as the set calls it, a relative path. key: its official id in files of results, where that is not the name.
    object_keys: object id -> its official id in files of results, where that is another one.
    frames: files of all frames, in order. annotated: the frames (indices into `frames`, ascending) that have labels;
    labels: reads those of one of them (a `functools.partial` of a free function, so that recordings can be pickled).
    label_files: the files that `labels` reads, one for each annotated frame or fewer (a JSON that holds them all is not
    listed). shown: object id -> the frame whose labels are given to a method that follows shown objects; empty where
    the set does not play that game. wanted: the frames whose answers are asked for; all of them if None.
    boxes: reads the boxes of an annotated frame without its masks, where the set has them; a set of boxes alone has no
    `labels`.
    drawn: makes a frame where frames are no files; `frames` are names alone then. complete: every object is labelled.
    categories, stuff: object or segment id -> name, as in `VideoSample`.
    """

    name: str
    frames: tuple[Path, ...]
    annotated: tuple[int, ...] = ()
    labels: Callable[[int], FrameLabels] | None = None
    label_files: tuple[Path, ...] = ()
    key: int | str | None = None
    categories: Mapping[int, str] = field(default_factory=dict)
    stuff: Mapping[int, str] = field(default_factory=dict)
    expressions: tuple[Expression, ...] = ()
    shown: Mapping[int, int] = field(default_factory=dict)
    wanted: tuple[int, ...] | None = None
    complete: bool = False
    drawn: Callable[[int], np.ndarray] | None = None
    boxes: Callable[[int], FrameBoxes] | None = None
    object_keys: Mapping[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames)

    def frame(self, index: int) -> np.ndarray:
        """Frame H W 3 uint8 RGB. Raises UserError for a file that cannot be decoded."""
        return read_rgb(self.frames[index]) if self.drawn is None else self.drawn(index)

    def labels_of(self, index: int) -> FrameLabels | None:
        """The labels of a frame, None where the set has none. Raises UserError for files that do not fit."""
        if self.labels is None or index not in self.annotated:
            return None
        return self.labels(index)

    def boxes_of(self, index: int) -> FrameBoxes:
        """The boxes of an annotated frame: its own, or else those of its masks. Raises UserError as `labels_of`."""
        if self.boxes is not None:
            return self.boxes(index)
        labels = self.labels_of(index)
        return {} if labels is None else tight_boxes(labels.objects)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Annotated frame number `index` (place in `annotated`): H W 3 uint8 and its object labels H W uint8.

        Raises UserError where there are boxes alone, and as `labels_of`.
        """
        place = self.annotated[index]
        image, labels = self.frame(place), self.labels_of(place)
        if labels is None:
            raise UserError(f"{self.name} has boxes and no masks; supervision=boxes trains on them")
        self.check_size(place, image.shape, labels)
        return image, labels.objects

    def check_size(self, index: int, size: tuple[int, ...], labels: FrameLabels) -> None:
        """Raises UserError unless the labels of a frame have the size (H, W) at which it is seen."""
        if labels.objects.shape != size[:2]:
            every = len(self.label_files) == len(self.annotated)  # else the labels of several frames are in one file
            file = self.label_files[self.annotated.index(index)] if every else None
            what = f"mask {file}" if file and is_mask(file) else f"the label map of {self.frames[index]}"
            require_same_size(size, labels.objects, what, self.frames[index])

    def first(self, count: int | None) -> Recording:
        """The same video as if it ended after `count` frames; None: after all."""
        if count is None or count >= len(self):
            return self
        known = sum(index < count for index in self.annotated)
        every = len(self.label_files) == len(self.annotated)
        return replace(
            self,
            frames=self.frames[:count],
            annotated=self.annotated[:known],
            label_files=self.label_files[:known] if every else self.label_files,
            shown={number: index for number, index in self.shown.items() if index < count},
            wanted=None if self.wanted is None else tuple(index for index in self.wanted if index < count),
        )

    def sample(self, places: Sequence[int] | None = None) -> VideoSample:
        """The annotated frames (or those at `places` of `annotated`) in memory.

        Raises UserError where nothing is annotated, for files that cannot be read and for frames of several sizes.
        """
        chosen = [self.annotated[place] for place in (range(len(self.annotated)) if places is None else places)]
        if not chosen:
            raise UserError(f"{self.name}: no frame of it is annotated")
        frames = [self.frame(index) for index in chosen]
        labels = [found for index in chosen if (found := self.labels_of(index)) is not None]
        for index, frame, label in zip(chosen, frames, labels, strict=True):
            self.check_size(index, frame.shape, label)
            if frame.shape != frames[0].shape:
                raise UserError(
                    f"frame {self.frames[index]} is {frame.shape[1]}x{frame.shape[0]} pixels, another of {self.name} "
                    f"is {frames[0].shape[1]}x{frames[0].shape[0]}; all frames of a video must have one size"
                )
        panoptic = [label.panoptic for label in labels if label.panoptic is not None]
        said: dict[int, list[str]] = {}
        for expression in self.expressions:
            if expression.object_id is not None:
                said.setdefault(expression.object_id, []).append(expression.text)
        return VideoSample(
            np.stack(frames),
            np.stack([label.objects for label in labels]),
            dict(self.categories),
            complete=self.complete,
            name=self.name,
            panoptic=np.stack(panoptic) if len(panoptic) == len(labels) else None,
            stuff=dict(self.stuff),
            expressions=said,
        )


@dataclass(frozen=True)
class RecordingSet:
    """A split of a public set.

    recordings: its videos by index; each may be made when asked for, so that a million images need no memory.
    classes: official category id -> name as the set writes it, in the set's order; empty where it has no categories.
    things: the ids among them that are things. file: the JSON that holds the labels of all videos, where there is one.
    """

    name: str
    split: str
    root: Path
    recordings: Sequence[Recording]
    classes: Mapping[int, str] = field(default_factory=dict)
    things: frozenset[int] = frozenset()
    file: Path | None = None

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, index: int) -> VideoSample:
        """The annotated frames of a video in memory."""
        return self.recordings[index].sample()
