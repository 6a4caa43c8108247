"""Photos with a mask of one object each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from univs.formats.photo_masks import read_folder


def test_each_photo_is_a_recording(photo_folder: Path) -> None:
    found = read_folder(photo_folder, category="cat", exclude=["cats/p0.jpg", "p2.jpg"])
    (recording,) = found.recordings
    assert (found.name, recording.name, recording.categories) == ("cats", "cats/p1.jpg", {1: "cat"})
    expected = np.zeros((120, 160), np.uint8)
    expected[30:80, 41:101] = 1
    np.testing.assert_array_equal(recording.read(0)[1], expected)
    assert not recording.complete and recording.label_files == (photo_folder / "masks/p1.png",)
