"""Photos with a mask of one object each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from univs.formats.photo_masks import read_folder


def test_each_photo_is_a_recording(photo_folder: Path) -> None:
    found = read_folder(photo_folder, category="cat", exclude=["cats/p0.jpg", "p2.jpg"])
    (recording,) = found.recordings
    assert (found.name, recording.name, recording.categories) == ("cats", "cats/p1.jpg", {1: "cat"})
    expected = np.zeros((120, 160), np.uint8)
    expected[30:80, 41:101] = 1
    np.testing.assert_array_equal(recording.read(0)[1], expected)
    assert not recording.complete and recording.label_files == (photo_folder / "masks/p1.png",)


def test_unknown_pixels_beside_the_object_stay_unknown(photo_folder: Path) -> None:
    mask = np.zeros((120, 160), np.uint8)
    mask[30:80, 40:100], mask[90:110, 20:60] = 1, 255
    Image.fromarray(mask).save(photo_folder / "masks/p0.png")
    np.testing.assert_array_equal(read_folder(photo_folder).recordings[0].read(0)[1], mask)
