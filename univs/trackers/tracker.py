"""The seam between the loop and the models: what a model offers, what the loop hands over, what it gets back.

The loop knows frames, prompts and results. Everything else, networks and features among it, is a tracker's own affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from univs.masks.geometry import Geometry
from univs.prompts import Categories
from univs.results import FrameResult
from univs.settings import Count
from univs.trackers.object_prompts import ObjectPrompt


@dataclass(frozen=True)
class Span:
    """One clip: frames start..stop-1, of which start..final-1 are in no later clip."""

    start: int
    stop: int
    final: int


@dataclass(frozen=True)
class Frame:
    """A frame of the video. index: from 0. image: H W 3 RGB uint8."""

    index: int
    image: NDArray[np.uint8]


AnyFrame = TypeVar("AnyFrame")


@dataclass(frozen=True)
class Clip(Generic[AnyFrame]):
    """T frames to answer together, in time order, and what was said on them.

    prompts: frame index -> object id -> what was said about it on that frame; frames without prompts are left out.
    """

    span: Span
    frames: Sequence[AnyFrame]
    prompts: Mapping[int, Mapping[int, ObjectPrompt]]

    @property
    def indices(self) -> range:
        """Frame indices."""
        return range(self.span.start, self.span.stop)

    def frame(self, index: int) -> AnyFrame:
        """The frame of that index in the video; it must be of this clip."""
        if index not in self.indices:
            raise IndexError(f"frame {index} is not in the clip {self.span}")
        return self.frames[index - self.span.start]


class Tracker(Protocol):
    """Knows the objects of one video and answers it clip by clip; made as `tracker(model, question, settings)`."""

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that are being followed."""
        ...

    def answer(self, clip: Clip[Frame]) -> list[FrameResult]:
        """Results of the frames that are final with this clip (`Span.final`), in time order."""
        ...

    def finish(self) -> list[FrameResult]:
        """The video has ended: results of the frames that were not final yet."""
        ...

    def remove(self, object_id: int) -> None:
        """Stop following an object. KeyError if it is not known."""
        ...


@dataclass(frozen=True)
class Question:
    """What is known of a video before its first frame is answered.

    geometry: sizes of its frames. categories: what is looked for; None: what the tracker looks for by itself.
    expected_ids: objects that will be prompted, now or later.
    """

    geometry: Geometry
    categories: Categories | None = None
    expected_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Clips:
    """Which frames a tracker wants to see together: the loop reads these names in the settings of any tracker.

    clip_length: T, frames of a clip; settings without it see every frame alone. clip_stride: frames from one clip to
    the next, at most T; clips of settings without it don't overlap.
    """

    clip_length: Count = 1
    clip_stride: Count = 1


Offer = tuple[Any, Any]
"""Who makes a tracker, and its settings: a dataclass, or one with other numbers; either may be "module:name"."""


class VideoModel(Protocol):
    """What the loop asks of a model."""

    @property
    def streaming(self) -> Mapping[str, Any]:
        """Its own numbers: `way` of following, `short_side` (0: the frame's own), and settings of its trackers."""
        ...

    def trackers(self) -> Mapping[str, Mapping[str, Offer]]:
        """Task -> way of following -> who does it."""
        ...

    def ready(self, precision: str, compiled: bool) -> VideoModel:
        """The model as sessions use it. UserError for a precision that it doesn't know."""
        ...


def found(reference: Any) -> Any:
    """What "module:name" names; anything else is what it is."""
    if not isinstance(reference, str):
        return reference
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
