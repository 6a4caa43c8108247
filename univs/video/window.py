"""Frames of a video in any order, a window of them in memory: for what goes forward, backward and back again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from univs.errors import UserError
from univs.video.reader import Frame, VideoReader

WINDOW_BYTES = 1 << 27
"""128 MiB: about a hundred frames at 480p."""
FEWEST = 4


class FrameWindow:
    """Any frame of a video; those used last are kept, and a stretch of frames is read at a time.

    Args:
        reader: whose frames can be read again.
        capacity: frames that are kept; None: what fits into `WINDOW_BYTES`, and four at least.
    Raises UserError for cameras and other frames that come only once.
    """

    def __init__(self, reader: VideoReader, capacity: int | None = None) -> None:
        if not reader.rereadable:
            raise UserError(f"{reader.name} can be read only once; save the frames to a file or a folder first")
        self.reader = reader
        height, width = reader.size
        self.capacity = capacity or max(FEWEST, WINDOW_BYTES // (3 * height * width))
        self._kept: OrderedDict[int, Frame] = OrderedDict()
        self._stream: Iterator[Frame] | None = None
        self._next = 0  # index of the frame that the stream gives next
        self._asked = -1  # the frame asked for last
        self._count: int | None = None

    def __len__(self) -> int:
        """How many frames the video has: counted by reading it once where a header says how many, which may be off."""
        if self._count is None:
            known = None if self.reader.announced else self.reader.num_frames
            self._count = sum(1 for _ in self.reader) if known is None else known
        return self._count

    def __getitem__(self, index: int) -> Frame:
        """H W 3 RGB uint8. IndexError past the end of the video."""
        if index < 0:
            raise IndexError(index)
        if index in self._kept:
            self._kept.move_to_end(index)
        elif index == self._asked - 1:  # backward: the frames before it will be asked for next
            self._read(max(0, index + 1 - max(1, self.capacity // 2)), index)
        else:
            self._read(index, index)
        self._asked = index
        return self._kept[index]

    def _read(self, start: int, stop: int) -> None:
        """Keep the frames start..stop."""
        if self._stream is None or self._next != start:
            self._stream, self._next = self.reader.iterate(start), start
        for index in range(start, stop + 1):
            frame = next(self._stream, None)
            if frame is None:
                self._stream = None
                raise IndexError(index)
            self._next = index + 1
            self._kept[index] = frame
            self._kept.move_to_end(index)
            while len(self._kept) > self.capacity:
                self._kept.popitem(last=False)
