"""What the loop asks for its answers: one small protocol, one implementation for each way of following."""

from __future__ import annotations

from typing import Protocol

from univs.streaming.answer import Answer
from univs.streaming.window import Clip


class Follower(Protocol):
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
