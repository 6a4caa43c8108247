from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from univs import UserError
from univs.video import open_video

FRAMES = np.random.default_rng(0).integers(0, 255, (4, 6, 8, 3), dtype=np.uint8)


def test_arrays_lists_and_generators() -> None:
    for source, length in ((FRAMES, 4), (list(FRAMES), 4), ((frame for frame in FRAMES), None)):
        reader = open_video(source)
        assert (reader.size, reader.num_frames) == ((6, 8), length)
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
