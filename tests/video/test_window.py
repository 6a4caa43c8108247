"""Frames in any order, with few of them in memory and few read twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs.errors import UserError
from univs.video import VideoReader, VideoWriter, open_video
from univs.video.window import FrameWindow


class Counted(VideoReader):
    """Frames that show their index, and which of them were read."""

    name, size, announced = "counted", (2, 3), True

    def __init__(self, count: int) -> None:
        self.count, self.num_frames = count, count + 3  # as a header may be off
        self.read: list[int] = []

    def frames(self) -> Iterator[np.ndarray]:
        for index in range(self.count):
            self.read.append(index)
            yield np.full((2, 3, 3), index, np.uint8)


def test_any_order_gives_the_frames() -> None:
    window = FrameWindow(Counted(20), capacity=5)
    for index in (0, 7, 6, 5, 19, 3, 4, 0, 18, 17, 16, 15, 14, 13):
        assert window[index][0, 0, 0] == index
        assert len(window._kept) <= 5
    assert len(window) == 20
    with pytest.raises(IndexError):
        window[20]
    with pytest.raises(IndexError):
        window[-1]
    assert window[19][0, 0, 0] == 19


def test_forward_reads_each_frame_once() -> None:
    reader = Counted(30)
    window = FrameWindow(reader, capacity=4)
    for index in range(30):
        window[index]
    assert reader.read == list(range(30))


def test_backward_reads_stretches() -> None:
    reader = Counted(40)
    window = FrameWindow(reader, capacity=20)
    for index in range(39, -1, -1):
        window[index]
    assert len(reader.read) <= 40 + 40 + 30 + 20 + 10 + 10  # ten at a time, each from the start


def test_how_many_fit() -> None:
    large = Counted(1)
    large.size = (2160, 3840)
    assert FrameWindow(large).capacity == 5
    large.size = (4320, 7680)
    assert FrameWindow(large).capacity == 4
    large.size = (480, 864)
    assert FrameWindow(large).capacity == 107


def test_what_comes_only_once_is_refused() -> None:
    frames = [np.zeros((4, 4, 3), np.uint8)] * 3
    with pytest.raises(UserError, match="can be read only once"):
        FrameWindow(open_video(iter(frames)))
    assert len(FrameWindow(open_video(frames))) == 3


def test_files_and_folders_start_where_they_are_asked_to(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    with VideoWriter(tmp_path / "video.mp4", 10) as writer:
        for index in range(12):
            frame = np.full((32, 48, 3), 20 * index, np.uint8)
            Image.fromarray(frame).save(tmp_path / "frames" / f"{index}.png")
            writer.write(frame)
    for source, tolerance in ((tmp_path / "frames", 0), (tmp_path / "video.mp4", 6)):
        window = FrameWindow(open_video(source), capacity=4)
        for index in (9, 8, 7, 2, 3, 11, 0):
            assert abs(int(window[index][5, 5, 1]) - 20 * index) <= tolerance
        assert len(window) == 12
