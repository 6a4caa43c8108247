"""Clips of T frames every s frames: which frames a clip has, and which of its answers are final (UNIVS, inference)."""

from __future__ import annotations

from univs.errors import UserError
from univs.trackers.tracker import Span


class ClipSchedule:
    """Tells when a clip is complete. Clips start at frames 0, s, 2s, ...; only the last may be shorter than T.

    Args:
        length: T, frames of a clip.
        stride: s, frames from one clip to the next; at most T, so that no frame is left out.
    Raises UserError for numbers that are impossible.
    """

    def __init__(self, length: int = 1, stride: int = 1) -> None:
        if not 1 <= stride <= length:
            raise UserError(
                f"clip_length is {length} and clip_stride {stride}; the length must be at least 1, "
                "the stride between 1 and the length"
            )
        self.length, self.stride = length, stride
        self.frames = 0
        """How many frames have come."""
        self._start = 0  # of the next clip
        self._reached = 0  # frames that were in a clip

    @property
    def oldest(self) -> int:
        """The first frame that a coming clip needs."""
        return self._start

    def push(self) -> Span | None:
        """One more frame has come; return the clip that is complete now, if one is."""
        self.frames += 1
        return self._next(self._start + self.stride) if self.frames == self._start + self.length else None

    def finish(self) -> Span | None:
        """The video has ended; return a last, shorter clip if there are frames that were in none yet."""
        return self._next(self.frames) if self.frames > self._reached else None

    def _next(self, final: int) -> Span:
        span = Span(self._start, min(self._start + self.length, self.frames), final)
        self._start, self._reached = self._start + self.stride, span.stop
        return span
