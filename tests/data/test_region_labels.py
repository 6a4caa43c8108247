"""Regions of photos as objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from univs.data import RegionLabels


def test_region_labels_take_regions_of_middling_size_inside(tmp_path: Path) -> None:
    (tmp_path / "bsd/images").mkdir(parents=True)
    (tmp_path / "bsd/segments").mkdir()
    regions = np.zeros((100, 100), np.uint8)
    regions[:20] = 1  # sky: 20 %, but along the border
    regions[40:60, 40:60] = 2  # 4 %
    regions[80:85, 80:85] = 3  # 0.25 %
    Image.fromarray(np.zeros((100, 100, 3), np.uint8)).save(tmp_path / "bsd/images/a.jpg")
    Image.fromarray(regions).save(tmp_path / "bsd/segments/a.png")
    photo = RegionLabels(tmp_path / "bsd/images", tmp_path / "bsd/segments")[0]
    assert np.array_equal(photo.labels, (regions == 2).astype(np.uint8)) and not photo.complete


def test_unknown_pixels_are_no_region(tmp_path: Path) -> None:
    for folder in ("images", "segments"):
        (tmp_path / folder).mkdir()
    regions = np.zeros((100, 100), np.uint8)
    regions[40:60, 40:60], regions[40:60, 65:85] = 2, 255
    Image.fromarray(np.zeros((100, 100, 3), np.uint8)).save(tmp_path / "images/a.jpg")
    Image.fromarray(regions).save(tmp_path / "segments/a.png")
    labels = RegionLabels(tmp_path / "images", tmp_path / "segments")[0].labels
    assert np.array_equal(labels, np.where(regions == 2, 1, regions))


def test_large_photos_are_shrunk_and_other_shares_may_be_taken(tmp_path: Path) -> None:
    for folder in ("images", "segments"):
        (tmp_path / folder).mkdir()
    regions = np.zeros((100, 200), np.uint8)
    regions[20:60, 20:60], regions[40:90, 80:180] = 2, 7  # 8 and 25 %
    Image.fromarray(np.zeros((100, 200, 3), np.uint8)).save(tmp_path / "images/a.jpg")
    Image.fromarray(regions).save(tmp_path / "segments/a.png")
    for least, most, chosen in ((0.01, 0.25, (2, 7)), (0.1, 0.3, (7,)), (0.01, 0.1, (2,))):
        photo = RegionLabels(tmp_path / "images", tmp_path / "segments", least=least, most=most, longest=50)[0]
        assert photo.image.shape == (25, 50, 3)
        number = np.zeros(8, np.uint8)
        number[list(chosen)] = range(1, len(chosen) + 1)
        assert np.array_equal(photo.labels, number[regions[2::4, 2::4]])
