"""What an assembly has to do for the stream of entities."""

from __future__ import annotations

from typing import Protocol

from univs.streaming.answer import Answer
from univs.streaming.overlap import Span
from univs.streaming.tracks import Tracks


class Assembly(Protocol):
    """Makes answers of what the tracks hold."""

    @property
    def oldest(self) -> int:
        """The first frame whose mask logits it still needs."""
        ...

    def begin(self, tracks: Tracks, span: Span) -> list[Answer]:
        """A new clip is about to change the tracks."""
        ...

    def answers(self, tracks: Tracks, span: Span) -> list[Answer]:
        """The clip has changed the tracks: answers of the frames that are ready, in time order."""
        ...

    def finish(self, tracks: Tracks) -> list[Answer]:
        """The video has ended: answers of all frames that are left."""
        ...
