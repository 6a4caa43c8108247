"""Photos with instance masks in the COCO format: `annotations.json` beside `images/`."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from univs.data.photo import Photo, read_names, require_folder, shrink, sizes_of
from univs.data.public.painting import to_rle
from univs.data.sample import IGNORE
from univs.errors import UserError
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
        longest: int = 400,
    ) -> None:
        """Reads the JSON; images are decoded when asked for.

        `exclude` (a list or a text file) names images as `file.jpg` or `folder/file.jpg`, folder being that of `root`.
        `complete` False says that things of other categories may be unlabelled; images with `only_categories` never are
        complete. Raises UserError for missing or malformed files.
        """
        root = Path(root)
        self.images = require_folder(root / "images", "COCO instances: images")
        path = root / "annotations.json"
        try:
            content: dict[str, Any] = json.loads(path.read_text())
            entries, annotations = content["images"], content["annotations"]
            self.noun = {int(c["id"]): str(c["name"]) for c in content["categories"]}
        except OSError as error:
            raise UserError(f"COCO instances: no file {path}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} has no COCO images, annotations and categories: {error!r}") from error
        self.name = root.name
        self.complete = complete
        self.longest = longest
        self.masks: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in annotations:
            if not annotation.get("stuff"):
                self.masks[annotation["image_id"]].append(annotation)
        banned = read_names(exclude)
        self.entries = [
            entry
            for entry in entries
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
        image = read_rgb(self.images / entry["file_name"])
        height, width = image.shape[:2]
        if (entry["height"], entry["width"]) != (height, width):
            said, path = f"{entry['width']}x{entry['height']}", self.images / entry["file_name"]
            raise UserError(f"the entry of {path} says {said} pixels, {sizes_of((height, width), path)}")
        labels = np.zeros((height, width), np.uint8)
        masks = [(decode(m["segmentation"], height, width), m) for m in self.masks[entry["id"]]]
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


def is_one_object(annotation: dict[str, Any]) -> bool:
    """False for masks of several objects: crowds and groups."""
    return not annotation.get("iscrowd") and annotation.get("mask_level") not in MANY_OBJECTS


def decode(segmentation: list[Any] | dict[str, Any], height: int, width: int) -> np.ndarray:
    """Mask H W bool of COCO polygons, a compressed or an uncompressed RLE. Raises UserError for anything else."""
    rle = to_rle(segmentation, (height, width), "COCO instances")
    if rle is None:
        return np.zeros((height, width), bool)
    return np.asarray(coco_mask.decode(rle)).astype(bool)
