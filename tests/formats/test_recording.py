"""A video of a set, cut short."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from univs.formats import FrameLabels, Recording


def test_what_is_asked_and_shown_later_goes_with_the_later_frames() -> None:
    frames = tuple(Path(f"{number}.jpg") for number in range(6))
    files = tuple(Path(f"{number}.png") for number in (0, 2, 4))
    labels = np.ones((2, 3), np.uint8)
    whole = Recording(
        "a", frames, (0, 2, 4), lambda index: FrameLabels(labels), files, shown={1: 0, 2: 4, 3: 2}, wanted=(0, 3, 5)
    )
    start = whole.first(3)
    assert (start.frames, start.annotated, start.label_files) == (frames[:3], (0, 2), files[:2])
    assert (start.shown, start.wanted) == ({1: 0, 3: 2}, (0,)) and start.labels_of(4) is None
    assert whole.first(4).wanted == (0, 3) and whole.first(5).shown == whole.shown
    together = Recording("b", frames, (0, 2, 4), lambda index: FrameLabels(labels), files[:1])
    assert together.first(3).label_files == files[:1], "of one file for all frames nothing is cut"
