"""The one type that every data set of videos yields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from univs.masks.meanings import IGNORE as IGNORE

NO_CLASS = -1


@dataclass(frozen=True)
class VideoSample:
    """Frames of one clip with the objects labelled on them.

    T frames of H x W pixels. Labels hold object ids 1..254, 0 where there is background (or nothing labelled, see
    `complete`) and 255 where nothing is known and no loss or score may be taken. Where everything is labelled, stuff
    included, `panoptic` says so: objects have the same ids there, segments of stuff have ids of their own.
    """

    frames: np.ndarray  # T H W 3 uint8 RGB
    labels: np.ndarray  # T H W uint8
    categories: dict[int, str] = field(default_factory=dict)  # object id -> noun; may be empty
    complete: bool = False  # True: every object is labelled, so label 0 is background
    name: str = ""
    panoptic: np.ndarray | None = None  # T H W uint8: ids of objects and of stuff, 255 where nothing is known
    stuff: dict[int, str] = field(default_factory=dict)  # id in `panoptic` -> name, for the segments that are stuff
    expressions: Mapping[int, Sequence[str]] = field(default_factory=dict)  # object id -> what is true of it alone

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[-1] != 3 or self.frames.dtype != np.uint8:
            raise ValueError(f"frames must be T H W 3 uint8, not {self.frames.shape} {self.frames.dtype}")
        if self.labels.shape != self.frames.shape[:3] or self.labels.dtype != np.uint8:
            raise ValueError(f"labels must be T H W uint8 like the frames, not {self.labels.shape} {self.labels.dtype}")
        if self.panoptic is not None and (self.panoptic.shape, self.panoptic.dtype) != (self.labels.shape, np.uint8):
            raise ValueError(f"panoptic must be T H W uint8 like the labels, not {self.panoptic.shape}")

    def semantic(self, classes: Sequence[str]) -> np.ndarray:
        """T H W int16: which of the classes (names of categories and stuff) every pixel is of; NO_CLASS for none.

        Without a panoptic map only labelled objects have a class.
        """
        segments = self.labels if self.panoptic is None else self.panoptic
        numbers = {name: number for number, name in enumerate(classes)}
        table = np.full(256, NO_CLASS, np.int16)
        for segment, name in {**self.categories, **self.stuff}.items():
            table[segment] = numbers.get(name, NO_CLASS)
        table[IGNORE] = NO_CLASS
        return table[segments]

    def object_ids(self, frame: int | None = None) -> list[int]:
        """Ids (ascending) of the objects seen on one frame, or on any frame."""
        labels = self.labels if frame is None else self.labels[frame]
        return [int(i) for i in np.unique(labels) if i not in (0, IGNORE)]
