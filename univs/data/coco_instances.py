"""Photos with instance masks in the COCO format: `annotations.json` beside `images/`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from univs.data.photo import Photo, shrink
from univs.errors import UserError
from univs.formats.coco_images import need_mask
from univs.formats.files import read_names, require_folder
from univs.formats.label_pixels import sizes_of
from univs.formats.sample import IGNORE
from univs.masks.overlaps import draw
from univs.masks.rle import read_masks
from univs.settings import Count
from univs.texts import read_json
from univs.video.pictures import read_rgb

MANY_OBJECTS = ("group", "category")  # mask levels that cover several objects at once


class CocoInstances:
    """Instance masks of things; stuff is skipped, masks that hold several objects (crowds, groups) become 255."""

    def __init__(
        self,
        root: str | Path,
        *,
        exclude: str | Path | list[str] | None = None,
        complete: bool = True,
        longest: Count = 400,
    ) -> None:
        """Reads the JSON; images are decoded when asked for.

        `exclude` (a list or a text file) names images as `file.jpg` or `folder/file.jpg`, folder being that of `root`.
        `complete` False says that things of other categories may be unlabelled; images with `only_categories` never are
        complete. Raises UserError for missing or malformed files.
        """
        root = Path(root)
        self.images = require_folder(root / "images", "COCO instances: images")
        self.path = root / "annotations.json"
        if not self.path.is_file():
            raise UserError(f"COCO instances: no file {self.path}")
        content: dict[str, Any] = read_json(self.path, "COCO images, annotations and categories")
        try:
            self.images_listed, self.annotations = list(content["images"]), list(content["annotations"])
            self.noun = {int(c["id"]): str(c["name"]) for c in content["categories"]}
            for entry in self.images_listed:
                _ = entry["id"], str(entry["file_name"]), int(entry["height"]), int(entry["width"])
            for place, annotation in enumerate(self.annotations):
                need_mask(annotation, place)
                if annotation["category_id"] not in self.noun:
                    raise ValueError(
                        f"annotation {annotation.get('id', place)} has the unknown category {annotation['category_id']}"
                    )
                _ = annotation["image_id"]
            if self.annotations and not any(annotation["segmentation"] for annotation in self.annotations):
                raise ValueError("no annotation has a mask in its segmentation: boxes alone")
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            why = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise UserError(f"{self.path} does not hold COCO images, annotations and categories: {why}") from error
        self.name = root.name
        self.complete = complete
        self.longest = longest
        self.masks: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in self.annotations:
            if not annotation.get("stuff") and annotation["segmentation"]:
                self.masks[annotation["image_id"]].append(annotation)
        banned = read_names(exclude)
        self.entries = [
            entry
            for entry in self.images_listed
            if entry["file_name"] not in banned
            and f"{root.name}/{entry['file_name']}" not in banned
            and entry.get("mask_level") not in MANY_OBJECTS
            and any(is_one_object(mask) for mask in self.masks[entry["id"]])
        ]

    def __len__(self) -> int:
        return len(self.entries)

    def nouns(self, index: int) -> frozenset[str]:
        masks = self.masks[self.entries[index]["id"]]
        return frozenset(self.noun[m["category_id"]] for m in masks if is_one_object(m))

    def __getitem__(self, index: int) -> Photo:
        entry = self.entries[index]
        image = read_entry(self.images, entry)
        height, width = image.shape[:2]
        labels = np.zeros((height, width), np.uint8)
        masks = draw_masks(self.masks[entry["id"]], (height, width), self.path)
        masks.sort(key=lambda pair: -int(pair[0].sum()))  # small objects lie on large ones (a cup on a table)
        categories: dict[int, str] = {}
        for mask, annotation in masks:
            if not is_one_object(annotation):
                labels[mask & (labels == 0)] = IGNORE
            elif len(categories) < 254:
                categories[len(categories) + 1] = self.noun[annotation["category_id"]]
                labels[mask] = len(categories)
        image, labels = shrink(image, labels, self.longest)
        complete = self.complete and not entry.get("only_categories")
        return Photo(image, labels, categories, complete, name=f"{self.name}/{entry['file_name']}")


def read_entry(images: Path, entry: dict[str, Any]) -> np.ndarray:
    """The image of a COCO entry, H W 3 uint8, as it is seen. Raises UserError unless it has the size that is stated.

    Masks are taken to lie on the picture as it is seen, as detectron2 and mmdetection take them; where EXIF turns it by
    a quarter and the entry states the size that is stored, they do not, and the message says so.
    """
    path = images / entry["file_name"]
    image = read_rgb(path)
    if (entry["height"], entry["width"]) != image.shape[:2]:
        said = f"{entry['width']}x{entry['height']}"
        raise UserError(f"the entry of {path} says {said} pixels, {sizes_of(image.shape[:2], path)}")
    return image


def is_one_object(annotation: dict[str, Any]) -> bool:
    """False for masks of several objects: crowds and groups."""
    return not annotation.get("iscrowd") and annotation.get("mask_level") not in MANY_OBJECTS


def draw_masks(
    annotations: Sequence[dict[str, Any]], size: tuple[int, int], path: Path
) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """The masks, H W bool, of the annotations of a photo, each with its annotation.

    Raises UserError, naming the file and the annotation, for what is neither polygons nor an RLE of this size.
    """

    def where(place: int) -> str:
        own = annotations[place]
        return f"{path}, annotation {own['id']}" if "id" in own else f"{path}, a mask of image {own['image_id']}"

    read = read_masks([annotation["segmentation"] for annotation in annotations], size, where)
    return [
        (np.zeros(size, bool) if rle is None else draw(rle), annotation)
        for rle, annotation in zip(read.rles, annotations, strict=True)
    ]
