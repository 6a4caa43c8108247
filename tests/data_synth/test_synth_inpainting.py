"""What is filled in behind objects that were cut out."""

from __future__ import annotations

import numpy as np

from univs.data.synth.inpainting import RIM, without_object


def test_what_is_known_stays_and_the_hole_is_of_its_surroundings() -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(60, 90, (61, 83, 3), dtype=np.uint8)
    mask = np.zeros((61, 83), bool)
    mask[20:41, 30:60] = True
    photo[mask] = (250, 5, 5)
    photo[19, 30:60] = (240, 10, 10)  # the outline is a pixel short of the object
    found = without_object(photo, mask)
    half = RIM // 2
    hole = np.zeros_like(mask)
    hole[20 - half : 41 + half, 30 - half : 60 + half] = True
    np.testing.assert_array_equal(found[~hole], photo[~hole])
    assert found[hole].min() >= 60 and found[hole].max() < 90, "nothing of the object is left"
    assert (photo[mask] == (250, 5, 5)).all(), "the photo itself is let be"


def test_a_slope_goes_on_through_the_hole() -> None:
    photo = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[None, :, None], 80, 0).repeat(3, 2)
    mask = np.zeros((80, 120), bool)
    mask[30:46, 50:70] = True
    gap = without_object(photo, mask).astype(int) - photo
    assert np.abs(gap).max() < 24 and np.abs(gap.mean()) < 1
    assert without_object(photo, mask)[38, 52].mean() < without_object(photo, mask)[38, 68].mean() - 8


def test_a_mask_that_leaves_only_a_rim_is_filled_from_it() -> None:
    photo, mask = np.full((9, 9, 3), 70, np.uint8), np.ones((9, 9), bool)
    mask[0] = False
    photo[mask] = 200
    assert (without_object(photo, mask) == 70).all()
    assert (without_object(photo, mask & False) == photo).all()
