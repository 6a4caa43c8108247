"""The one loop: take in the frames and what is said on them, make clips of them, hand out what became final.

Who answers a clip, and how, is the follower's affair; a frame is encoded once, whatever number of clips it is in.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from univs.masks.geometry import Geometry
from univs.models.univs import UniVS
from univs.streaming.clip_schedule import ClipSchedule
from univs.trackers.answers import Answer
from univs.trackers.encoded_frame import EncodedFrame
from univs.trackers.object_prompts import ObjectPrompt
from univs.trackers.tracker import Clip, Span, Tracker


class Loop:
    """The streaming loop over one video.

    Args:
        model: what encodes the frames.
        geometry: sizes of the frames of this video.
        follower: what answers the clips and remembers the objects.
        schedule: which frames make a clip.
    """

    def __init__(self, model: UniVS, geometry: Geometry, follower: Tracker, schedule: ClipSchedule) -> None:
        self.model, self.geometry, self.follower, self.schedule = model, geometry, follower, schedule
        self._frames: list[EncodedFrame] = []  # those that a coming clip needs
        self._prompts: dict[int, dict[int, ObjectPrompt]] = {}  # on these frames
        self._ended = False

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that are being followed, and those whose first prompt still waits for its clip."""
        waiting = (object_id for prompts in self._prompts.values() for object_id in prompts)
        return tuple(dict.fromkeys((*self.follower.object_ids, *waiting)))

    @property
    def ended(self) -> bool:
        """Whether results of frames after the last one would no longer fit those that `finish` gave."""
        return self._ended

    @torch.inference_mode()
    def push(self, frame: NDArray[np.uint8], prompts: Mapping[int, ObjectPrompt]) -> list[Answer]:
        """Take in the next frame (H W 3 RGB) with the prompts that came on it; return the answers that became final."""
        index = self.schedule.frames
        self._frames.append(EncodedFrame(index, frame, self.model, self.geometry))
        if prompts:
            self._prompts[index] = dict(prompts)
        span = self.schedule.push()
        return [] if span is None else self._answer(span)

    @torch.inference_mode()
    def finish(self) -> list[Answer]:
        """The video has ended: answers of the frames that were not final yet."""
        span = None if self._ended else self.schedule.finish()
        answers = [] if span is None else self._answer(span)
        answers += self.follower.finish()
        self._ended = self._ended or self.schedule.length > 1
        return answers

    @torch.inference_mode()
    def remove(self, object_id: int) -> None:
        """Stop following an object. KeyError if it is not known."""
        if object_id not in self.object_ids:
            raise KeyError(object_id)
        for prompts in self._prompts.values():
            prompts.pop(object_id, None)
        if object_id in self.follower.object_ids:
            self.follower.remove(object_id)

    def _answer(self, span: Span) -> list[Answer]:
        frames = [frame for frame in self._frames if span.start <= frame.index < span.stop]
        prompts = {index: said for index, said in self._prompts.items() if index < span.stop and said}
        answers = self.follower.answer(Clip(span, frames, prompts, self.geometry))
        oldest = self.schedule.oldest
        self._frames = [frame for frame in self._frames if frame.index >= oldest]
        self._prompts = {index: said for index, said in self._prompts.items() if index >= oldest}
        return answers
