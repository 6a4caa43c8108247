"""The one loop: take in the frames and what is said on them, make clips of them, hand out what became final.

Who answers a clip, and how, is the tracker's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

import numpy as np
import torch
from numpy.typing import NDArray

from univs.errors import UserError
from univs.results import FrameResult
from univs.trackers.object_prompts import ObjectPrompt
from univs.trackers.tracker import Clip, Frame, Span, Tracker


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


class Loop:
    """The streaming loop over one video.

    Args:
        tracker: what answers the clips and remembers the objects.
        schedule: which frames make a clip.
    """

    def __init__(self, tracker: Tracker, schedule: ClipSchedule) -> None:
        self.tracker, self.schedule = tracker, schedule
        self._frames: list[Frame] = []  # those that a coming clip needs
        self._prompts: dict[int, Mapping[int, ObjectPrompt]] = {}  # on these frames
        self._ended = False

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that are being followed, and those whose first prompt still waits for its clip."""
        waiting = (object_id for prompts in self._prompts.values() for object_id in prompts)
        return tuple(dict.fromkeys((*self.tracker.object_ids, *waiting)))

    @property
    def ended(self) -> bool:
        """Whether results of frames after the last one would no longer fit those that `finish` gave."""
        return self._ended

    @torch.inference_mode()
    def push(self, image: NDArray[np.uint8], prompts: Mapping[int, ObjectPrompt]) -> list[FrameResult]:
        """Take in the next frame (H W 3 RGB) with the prompts that came on it; return the results that became final.

        A UserError of the tracker leaves everything as if the frame had not come.
        """
        before = self.schedule, self._frames, self._prompts
        index, self.schedule = self.schedule.frames, copy(self.schedule)
        if self.schedule.length > 1:  # it waits for others, and meanwhile its array may be written over
            image = image.copy()
        self._frames = [*self._frames, Frame(index, image)]
        if prompts:
            self._prompts = {**self._prompts, index: dict(prompts)}
        span = self.schedule.push()
        try:
            return [] if span is None else self._answer(span)
        except UserError:
            self.schedule, self._frames, self._prompts = before
            raise

    @torch.inference_mode()
    def finish(self) -> list[FrameResult]:
        """The video has ended: results of the frames that were not final yet."""
        span = None if self._ended else self.schedule.finish()
        results = [] if span is None else self._answer(span)
        results += self.tracker.finish()
        self._ended = self._ended or self.schedule.length > 1
        return results

    @torch.inference_mode()
    def remove(self, object_id: int) -> None:
        """Stop following an object. KeyError if it is not known."""
        if object_id not in self.object_ids:
            raise KeyError(object_id)
        self._prompts = {
            index: {known: said for known, said in prompts.items() if known != object_id}
            for index, prompts in self._prompts.items()
        }
        if object_id in self.tracker.object_ids:
            self.tracker.remove(object_id)

    def _answer(self, span: Span) -> list[FrameResult]:
        frames = [frame for frame in self._frames if span.start <= frame.index < span.stop]
        prompts = {index: said for index, said in self._prompts.items() if index < span.stop and said}
        results = self.tracker.answer(Clip(span, frames, prompts))
        oldest = self.schedule.oldest
        self._frames = [frame for frame in self._frames if frame.index >= oldest]
        self._prompts = {index: said for index, said in self._prompts.items() if index >= oldest}
        return results
