"""What an assembly has to do for the stream of entities."""

from __future__ import annotations

import math
from typing import Protocol

from univs.results import FrameResult
from univs.trackers.clip.tracks import Tracks
from univs.trackers.tracker import Span


class Windows:
    """Tells when a window of W frames is due: after the clips that start at memory + W, memory + 2W, ...

    The official output is made after such a clip, and once for everything that is left after the last clip. Whether a
    clip was the last one shows only later, so a window is reported when the next clip begins.

    Args:
        least: frames, W = 5 * (ceil(least / 5) + 1).
        memory: clips start this much after a multiple of W when a window is due.
    """

    def __init__(self, least: int, memory: int) -> None:
        self.length = 5 * (math.ceil(least / 5) + 1)
        self._memory = memory
        self._due = False

    def begin(self) -> bool:
        """A new clip begins: is a window due that the clip before has completed?"""
        due, self._due = self._due, False
        return due

    def end(self, span: Span) -> None:
        """The clip is done."""
        self._due = span.start > self._memory and span.start % self.length == self._memory


class Output(Protocol):
    """Makes answers of what the tracks hold."""

    @property
    def oldest(self) -> int:
        """The first frame whose mask logits it still needs."""
        ...

    def object_ids(self, tracks: Tracks) -> tuple[int, ...]:
        """What is being followed, under the ids that the results carry."""
        ...

    def remove(self, object_id: int) -> int:
        """Forget what has this id in the results; the entity that it is. KeyError for what is none."""
        ...

    def begin(self, tracks: Tracks, span: Span) -> list[FrameResult]:
        """A new clip is about to change the tracks."""
        ...

    def answers(self, tracks: Tracks, span: Span) -> list[FrameResult]:
        """The clip has changed the tracks: answers of the frames that are ready, in time order."""
        ...

    def finish(self, tracks: Tracks) -> list[FrameResult]:
        """The video has ended: answers of all frames that are left."""
        ...
