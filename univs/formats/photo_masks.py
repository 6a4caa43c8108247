"""Folders of photos with one binary mask each: images (JPEG, PNG, WebP, ...) and `masks/*.png` (or another format that
keeps every value) of the same stem."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from univs.errors import UserError
from univs.formats.files import files_by_stem, folder_name, is_named, read_names, require_folder
from univs.formats.recording import FrameLabels, Recording, RecordingSet
from univs.formats.sample import IGNORE
from univs.masks.mask_files import is_mask, read_objects
from univs.video.images import is_image


def read_folder(
    root: Path, *, category: str | None = None, exclude: str | Path | list[str] | None = None
) -> RecordingSet:
    """Photos whose mask is one object, whose edges may be smoothed; nothing else is labelled.

    `category` names the object if all photos show the same kind; `exclude` lists `file.jpg` or `folder/file.jpg`.
    Raises UserError for missing folders and for an image or mask that has no partner.
    """
    banned, folder = read_names(exclude), folder_name(root)
    recordings = tuple(
        Recording(
            name=f"{folder}/{image.name}",
            frames=(image,),
            annotated=(0,),
            labels=partial(_read_single, mask),
            label_files=(mask,),
            categories={1: category} if category else {},
        )
        for image, mask in pair_files(root / "images", root / "masks", "photos with masks")
        if not is_named(banned, folder, image.name)
    )
    return RecordingSet(folder, "", root, recordings)


def _read_single(path: Path, index: int) -> FrameLabels:
    mask = read_objects(path, single=True)
    return FrameLabels(np.where(mask.void, IGNORE, mask.ids > 0).astype(np.uint8))


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
