"""Folders of photos with one binary mask each: images (JPEG, PNG, WebP, ...) and `masks/*.png` of the same stem."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from univs.data.photo import Photo, read_indices, read_names, read_rgb, require_folder, require_same_size, shrink
from univs.errors import UserError
from univs.video.images import is_image


class PhotoMasks:
    """Photos whose mask (any value above 127, or 1 in a 0/1 mask) is one object; nothing else is labelled."""

    def __init__(
        self,
        root: str | Path,
        *,
        category: str | None = None,
        exclude: str | Path | list[str] | None = None,
        longest: int = 400,
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
        image, mask = read_rgb(image_path), read_indices(mask_path)
        require_same_size(image, mask, mask_path)
        labels = (mask > (127 if mask.max(initial=0) > 1 else 0)).astype(np.uint8)
        image, labels = shrink(image, labels, self.longest)
        categories = {1: self.category} if self.category else {}
        return Photo(image, labels, categories, complete=False, name=f"{self.name}/{image_path.name}")


def pair_files(images: Path, masks: Path, what: str) -> list[tuple[Path, Path]]:
    """Images and masks of equal stems, sorted. Raises UserError for missing folders and files without a partner."""
    require_folder(images, f"{what}: images")
    require_folder(masks, f"{what}: masks")
    by_stem = {path.stem: path for path in sorted(images.iterdir()) if is_image(path)}
    mask_of = {path.stem: path for path in sorted(masks.iterdir()) if path.suffix.lower() == ".png"}
    if not by_stem:
        raise UserError(f"{what}: no images in {images}")
    for stem in sorted(by_stem.keys() ^ mask_of.keys()):
        if stem in by_stem:
            raise UserError(f"{what}: image {by_stem[stem]} has no mask {masks / (stem + '.png')}")
        raise UserError(f"{what}: mask {mask_of[stem]} has no image in {images}")
    return [(by_stem[stem], mask_of[stem]) for stem in by_stem]
