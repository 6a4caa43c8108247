"""What the loop asks for its answers: clips in, results out; one implementation for each way of following."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from univs.masks.geometry import Geometry
from univs.trackers.answers import Answer
from univs.trackers.encoded_frame import EncodedFrame
from univs.trackers.object_prompts import ObjectPrompt


@dataclass(frozen=True)
class Span:
    """One clip: frames start..stop-1, of which start..final-1 are in no later clip."""

    start: int
    stop: int
    final: int


@dataclass(frozen=True)
class Clip:
    """T frames to answer together, in time order, and what was said on them.

    prompts: frame index -> object id -> what was said about it on that frame; frames without prompts are left out.
    """

    span: Span
    frames: Sequence[EncodedFrame]
    prompts: Mapping[int, Mapping[int, ObjectPrompt]]
    geometry: Geometry

    @property
    def indices(self) -> range:
        """Frame indices."""
        return range(self.span.start, self.span.stop)

    def frame(self, index: int) -> EncodedFrame:
        """The frame of that index in the video; it must be of this clip."""
        if index not in self.indices:
            raise IndexError(f"frame {index} is not in the clip {self.span}")
        return self.frames[index - self.span.start]


class Tracker(Protocol):
    """Knows the objects of one video and answers it clip by clip."""

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that are being followed."""
        ...

    def answer(self, clip: Clip) -> list[Answer]:
        """Answers of the frames that are final with this clip (`Span.final`), in time order."""
        ...

    def finish(self) -> list[Answer]:
        """The video has ended: answers of the frames that were not final yet."""
        ...

    def remove(self, object_id: int) -> None:
        """Stop following an object. KeyError if it is not known."""
        ...
