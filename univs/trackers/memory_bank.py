"""What a space-time memory remembers: frames that are kept, and the previous frame, for each object by itself.

Keys depend on the object, as its mask went into them, so every object has its own. The frames kept are the same for
all; an object that came later has the later ones of them. Bounded: at most `capacity` frames are kept beside the
previous one, so memory does not grow with the video.

Shapes: P positions of a frame, M of all frames remembered, Ck Cv channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from univs.models.space_time_memory import MemoryEntry

PREVIOUS = -1
"""Stands for the previous frame where it is not kept."""


@dataclass(frozen=True)
class Keeping:
    """Which frames stay in the memory.

    interval: frames from one kept frame to the next. at_multiples: every frame whose index is a multiple of the
    interval is kept (STM), instead of the first one so far away from the frame kept last (MiVOS). capacity: frames that
    are kept at most.
    """

    interval: int
    capacity: int
    at_multiples: bool = False

    def due(self, frame_index: int, last: int | None) -> bool:
        """Whether a frame is kept; last: the frame kept last."""
        if self.at_multiples:
            return frame_index % self.interval == 0
        return last is None or abs(frame_index - last) >= self.interval


class MemoryBank:
    """The memory of all objects of one video.

    Frames with given masks are pinned. When there are more than `capacity` frames, the one kept longest that is not
    pinned gives way; where all are pinned, the one kept longest but the first.
    """

    def __init__(self, keeping: Keeping) -> None:
        self.keeping = keeping
        self._kept: dict[int, bool] = {}  # frame index -> pinned, in the order in which they came
        self._objects: dict[int, ObjectRows] = {}

    @property
    def kept(self) -> tuple[int, ...]:
        """The frames kept, in the order in which they came; the previous frame is not among them."""
        return tuple(self._kept)

    def __contains__(self, object_id: object) -> bool:
        return object_id in self._objects

    def frames(self, object_id: int) -> int:
        """How many frames are read for an object."""
        return len(self._objects[object_id].frames)

    def write(self, frame_index: int, entries: Mapping[int, MemoryEntry], *, pinned: bool) -> None:
        """Take in a frame, which is now the previous one, with an entry for each object."""
        for rows in self._objects.values():
            rows.drop(PREVIOUS)
        last = next(reversed(self._kept), None)
        keep = pinned or self.keeping.due(frame_index, last)
        if keep:
            self._kept.pop(frame_index, None)
            self._kept[frame_index] = pinned
        for object_id, entry in entries.items():
            rows = self._objects.setdefault(object_id, ObjectRows())
            rows.put(frame_index if keep else PREVIOUS, entry)
        if len(self._kept) > self.keeping.capacity:
            self._forget(self._victim())

    def read(self, object_id: int) -> MemoryEntry:
        """All that is remembered of an object: key M Ck, value M Cv; valid until the next `write`."""
        return self._objects[object_id].entry()

    def remove(self, object_id: int) -> None:
        """Forget an object, and the frames that nobody has an entry in any more."""
        del self._objects[object_id]
        for frame_index in self.kept:
            if not any(frame_index in rows.frames for rows in self._objects.values()):
                del self._kept[frame_index]

    def _victim(self) -> int:
        *older, _ = self._kept
        return next((index for index in older if not self._kept[index]), (older[1:] or older)[0])

    def _forget(self, frame_index: int) -> None:
        del self._kept[frame_index]
        for rows in self._objects.values():
            rows.drop(frame_index)


class ObjectRows:
    """Keys and values of one object, a slot for each frame; slots in use come first, in any order."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        """Of each slot in use: the frame in it."""
        self._keys: Tensor | None = None  # S P Ck
        self._values: Tensor | None = None  # S P Cv

    def put(self, frame_index: int, entry: MemoryEntry) -> None:
        """Write a frame, over what is known of it."""
        if frame_index not in self.frames:
            self.frames.append(frame_index)
        slot = self.frames.index(frame_index)
        self._keys = with_room(self._keys, slot, entry.key)
        self._values = with_room(self._values, slot, entry.value)
        self._keys[slot], self._values[slot] = entry.key, entry.value

    def drop(self, frame_index: int) -> None:
        """Forget a frame, if it is known; the last slot moves into its place."""
        if frame_index not in self.frames or self._keys is None or self._values is None:
            return
        slot, last = self.frames.index(frame_index), len(self.frames) - 1
        if slot != last:
            self._keys[slot], self._values[slot] = self._keys[last], self._values[last]
            self.frames[slot] = self.frames[last]
        self.frames.pop()

    def entry(self) -> MemoryEntry:
        """The frames side by side: M Ck and M Cv, which copies nothing."""
        if self._keys is None or self._values is None:
            raise RuntimeError("nothing is remembered of this object yet")
        count = len(self.frames)
        return MemoryEntry(self._keys[:count].flatten(0, 1), self._values[:count].flatten(0, 1))


def with_room(buffer: Tensor | None, slot: int, like: Tensor) -> Tensor:
    """The buffer itself if it has the slot, else one of twice the slots with its content; None: a new one."""
    if buffer is None:
        return torch.empty(2, *like.shape, dtype=like.dtype, device=like.device)
    if slot < len(buffer):
        return buffer
    return torch.cat([buffer, torch.empty_like(buffer)])
