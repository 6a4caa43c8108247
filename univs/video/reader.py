"""What every source of frames looks like, and the simplest of them: an iterable of arrays."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError

Frame = NDArray[np.uint8]

DEFAULT_FPS = 25.0  # of sources that do not say


class VideoReader(ABC):
    """Iterates over RGB uint8 frames H x W x 3, each made when asked for; all frames have the same size.

    name: for messages and titles. size: (height, width) in pixels as shown, that is after rotation. fps: frames per
    second. num_frames: None if unknown; what a file's header says may be off by a few frames.
    """

    name: str
    size: tuple[int, int]
    fps: float = DEFAULT_FPS
    num_frames: int | None = None
    announced: bool = False
    """Whether num_frames is what a header says, and not counted."""
    rereadable: bool = True
    """Whether the frames can be read a second time."""

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """The frames from the first on; may raise UserError at a frame that cannot be read."""

    def frames_from(self, start: int) -> Iterator[Frame]:
        """The frames from that index on; those before it are decoded too where a format needs it."""
        return itertools.islice(self.frames(), start, None)

    def __iter__(self) -> Iterator[Frame]:
        return self.iterate(0)

    def iterate(self, start: int) -> Iterator[Frame]:
        """The frames from an index on. UserError where one has another size than the first."""
        for index, frame in enumerate(self.frames_from(start), start):
            if frame.shape[:2] != self.size:
                height, width = frame.shape[:2]
                raise UserError(
                    f"frame {index} of {self.name} is {width}x{height} pixels, the first is "
                    f"{self.size[1]}x{self.size[0]}; all frames of a video must have one size"
                )
            yield frame


class ArrayReader(VideoReader):
    """Frames from an iterable of arrays; a generator can be read only once."""

    def __init__(self, source: Iterable[Any]) -> None:
        self.name = "the frames given"
        iterator = iter(source)
        first = next(iterator, None)
        if first is None:
            raise UserError("the frames given are empty; give at least one frame")
        self.rereadable = iterator is not source
        self._source = source
        self._begun: Iterator[Any] | None = itertools.chain([first], iterator)  # some iterators share one stream
        self.size = _checked(first, 0).shape[:2]
        length = getattr(source, "__len__", None)
        self.num_frames = None if length is None else int(length())

    def frames(self) -> Iterator[Frame]:
        source, self._begun = self._begun or iter(self._source), None
        for index, frame in enumerate(source):
            yield _checked(frame, index)


def _checked(frame: Any, index: int) -> Frame:
    array = np.asarray(frame)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise UserError(f"frame {index} has shape {array.shape} and type {array.dtype}; frames are RGB uint8 H x W x 3")
    return array
