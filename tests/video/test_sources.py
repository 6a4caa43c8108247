from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from univs import UserError
from univs.video import VideoWriter, open_video

FRAMES = np.random.default_rng(0).integers(0, 255, (4, 6, 8, 3), dtype=np.uint8)


def test_arrays_lists_and_generators() -> None:
    for source, length in ((FRAMES, 4), (list(FRAMES), 4), ((frame for frame in FRAMES), None)):
        reader = open_video(source)
        assert (reader.size, reader.num_frames) == ((6, 8), length)
        assert np.array_equal(list(reader), FRAMES)


class SharedStream:
    """Frames of one stream, however often they are asked for: a capture, or a progress bar around a generator."""

    def __init__(self) -> None:
        self.stream = iter(FRAMES)

    def __iter__(self) -> Iterator[np.ndarray]:
        yield from self.stream


def test_no_frame_of_a_shared_stream_is_lost() -> None:
    assert np.array_equal(list(open_video(SharedStream())), FRAMES)


def test_arrays_can_be_read_again_also_while_they_are_read() -> None:
    reader = open_video(list(FRAMES))
    first = iter(reader)
    next(first)
    assert np.array_equal(list(reader), FRAMES) and np.array_equal(list(first), FRAMES[1:])
    assert np.array_equal(list(reader), FRAMES)


def test_a_generator_is_read_only_as_far_as_asked() -> None:
    made = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            made.append(len(made))
            yield FRAMES[0]

    frames = iter(open_video(endless()))
    next(frames)
    next(frames)
    assert made == [0, 1]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], "the frames given are empty"),
        ([FRAMES[0, :, :, 0]], r"frame 0 has shape \(6, 8\)"),
        ([FRAMES[0].astype(float)], "type float64; frames are RGB uint8"),
        (iter([FRAMES[0], FRAMES[0, :5]]), "frame 1 of the frames given is 8x5 pixels, the first is 8x6"),
        ("no/such/file.mp4", "no/such/file.mp4 does not exist"),
        ("no/such/*.png", "matches nothing"),
        (987, "there is no camera 987"),
        ("987", "there is no camera 987"),
    ],
)
def test_what_cannot_be_opened(source: object, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        list(open_video(source))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_reader_is_its_own_source(tmp_path: Path) -> None:
    reader = open_video(FRAMES)
    assert open_video(reader) is reader


def test_a_folder_may_hold_the_video_itself(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", 5) as writer:
        for frame in FRAMES:
            writer.write(frame)
    (tmp_path / "notes.txt").write_text("not a video")
    (tmp_path / "._clip.mp4").write_text("what another file system left")
    reader = open_video(tmp_path)
    assert reader.name == str(tmp_path / "clip.mp4") and len(list(reader)) == 4


def test_a_folder_without_frames_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no frames: no images \(.*\.webp\) and no video"):
        open_video(tmp_path)
    (tmp_path / "night").mkdir()
    with pytest.raises(UserError, match="holds no frames, but folders; give one of them, such as .*night"):
        open_video(tmp_path)
    for name in ("a.mp4", "b.mov"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=r"holds no frames, but 2 videos; give one of them, such as .*a\.mp4"):
        open_video(tmp_path)
