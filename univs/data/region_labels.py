"""Photos with a label map of regions (BSDS500 and the like): regions of a middling size stand in for objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from univs.data.photo import Photo, shrink
from univs.formats.files import folder_name
from univs.formats.label_pixels import read_indices, require_same_size
from univs.formats.photo_masks import pair_files
from univs.formats.sample import IGNORE
from univs.settings import Count, Share
from univs.video.pictures import read_rgb

MOST_RIM = 1.2  # pixels on the photo's border per square root of the region's area


class RegionLabels:
    """Regions that cover a share of the photo between `least` and `most` become objects 1.., the rest is unlabelled;
    255 stays unknown.

    Regions that mostly run along the border of the photo are left out too.
    """

    def __init__(
        self, images: str | Path, labels: str | Path, *, least: Share = 0.01, most: Share = 0.25, longest: Count = 400
    ) -> None:
        """Pairs images with label maps of the same stem; UserError for missing folders and files without a partner."""
        self.files = pair_files(Path(images), Path(labels), "photos with regions")
        self.name = folder_name(Path(images).parent)
        self.least, self.most, self.longest = least, most, longest

    def __len__(self) -> int:
        return len(self.files)

    def nouns(self, index: int) -> frozenset[str]:
        return frozenset()

    def __getitem__(self, index: int) -> Photo:
        image_path, label_path = self.files[index]
        image, regions = read_rgb(image_path), read_indices(label_path)
        require_same_size(image.shape, regions, f"label map {label_path}", image_path)
        image, regions = shrink(image, regions, self.longest)
        area = np.bincount(regions.ravel(), minlength=256)
        area[IGNORE] = 0
        rim = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
        inside = np.bincount(rim, minlength=256) <= MOST_RIM * np.sqrt(area)  # sky and ground run along the border
        number = np.zeros(256, np.uint8)
        chosen = np.flatnonzero((area >= self.least * regions.size) & (area <= self.most * regions.size) & inside)
        number[chosen] = np.arange(1, len(chosen) + 1)
        number[IGNORE] = IGNORE
        return Photo(image, number[regions], complete=False, name=f"{self.name}/{image_path.name}")
