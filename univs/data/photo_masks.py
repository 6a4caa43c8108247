"""Folders of photos with one binary mask each: images (JPEG, PNG, WebP, ...) and `masks/*.png` (or another format that
keeps every value) of the same stem."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from univs.data.photo import Photo, shrink
from univs.errors import UserError
from univs.formats.files import files_by_stem, read_names, require_folder
from univs.formats.label_pixels import require_same_size
from univs.formats.sample import IGNORE
from univs.masks.mask_files import is_mask, read_objects
from univs.settings import Count
from univs.video.images import is_image
from univs.video.pictures import read_rgb


class PhotoMasks:
    """Photos whose mask is one object; nothing else is labelled. Its edges may be smoothed."""

    def __init__(
        self,
        root: str | Path,
        *,
        category: str | None = None,
        exclude: str | Path | list[str] | None = None,
        longest: Count = 400,
    ) -> None:
        """Pairs the files; raises UserError for missing folders and for an image or mask that has no partner.

        `category` names the object if all photos show the same kind; `exclude` lists `file.jpg` or `folder/file.jpg`.
        """
        root = Path(root)
        images = pair_files(root / "images", root / "masks", "photos with masks")
        banned = read_names(exclude)
        self.name = root.name
        self.category = category
        self.longest = longest
        self.files = [p for p in images if p[0].name not in banned and f"{root.name}/{p[0].name}" not in banned]

    def __len__(self) -> int:
        return len(self.files)

    def nouns(self, index: int) -> frozenset[str]:
        return frozenset({self.category} if self.category else ())

    def __getitem__(self, index: int) -> Photo:
        image_path, mask_path = self.files[index]
        image, mask = read_rgb(image_path), read_objects(mask_path, single=True)
        require_same_size(image.shape, mask.ids, f"mask {mask_path}", image_path)
        labels = np.where(mask.void, IGNORE, mask.ids > 0).astype(np.uint8)
        image, labels = shrink(image, labels, self.longest)
        categories = {1: self.category} if self.category else {}
        return Photo(image, labels, categories, complete=False, name=f"{self.name}/{image_path.name}")


def pair_files(images: Path, masks: Path, what: str) -> list[tuple[Path, Path]]:
    """Images and masks of equal stems, sorted. Raises UserError for missing folders and files without a partner."""
    require_folder(images, f"{what}: images")
    require_folder(masks, f"{what}: masks")
    by_stem, mask_of = files_by_stem(images, is_image, what), files_by_stem(masks, is_mask, what)
    if not by_stem:
        raise UserError(f"{what}: no images in {images}")
    for stem in sorted(by_stem.keys() ^ mask_of.keys()):
        if stem in by_stem:
            raise UserError(f"{what}: image {by_stem[stem]} has no mask {masks / (stem + '.png')}")
        raise UserError(f"{what}: mask {mask_of[stem]} has no image in {images}")
    return [(by_stem[stem], mask_of[stem]) for stem in by_stem]
