"""Labelled images with names, as clips of one frame: things, stuff and expressions of COCO folders, semantic maps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from univs.data.coco_instances import MANY_OBJECTS, CocoInstances, draw_masks, is_one_object, read_entry
from univs.errors import UserError
from univs.formats.files import files_by_stem, read_names, require_folder
from univs.formats.label_pixels import read_indices, require_same_size
from univs.formats.sample import IGNORE, VideoSample
from univs.masks.mask_files import is_mask
from univs.texts import read_json
from univs.video.images import is_image
from univs.video.pictures import read_rgb
from univs.vocabularies import plain_name

SYNONYMS = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tv monitor": "tv",
    "pedestrian": "person",
    "pavement": "sidewalk",
}
"""Names that mean the same in two data sets -> the one that is used."""


def merged_name(name: str) -> str:
    """A category name as a person would say it, the same in all data sets."""
    plain = plain_name(name)
    return SYNONYMS.get(plain, plain)


class NamedImages:
    """Images of a COCO folder (`annotations.json` beside `images/`) with the names of their things and stuff.

    Args:
        root: the folder.
        expressions: a JSON of `expressions`, each with `expression`, `image_id` and `annotation_id`.
        exclude, only: names of images as `file.jpg` or `folder/file.jpg` (a list, or a text file with one a line) to
            leave out, or to take alone.
        complete: whether things of no listed name may be taken for background; images with `only_categories` never are.

    Raises UserError for missing or malformed files.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        expressions: str | Path | None = None,
        exclude: str | Path | list[str] | None = None,
        only: str | Path | list[str] | None = None,
        complete: bool = True,
    ) -> None:
        self.photos = CocoInstances(root, complete=complete)  # checks the files
        self.name = self.photos.name
        self.masks: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in self.photos.annotations:
            if annotation["segmentation"]:
                self.masks[annotation["image_id"]].append(annotation)
        banned, wanted = read_names(exclude), None if only is None else read_names(only)
        self.entries = [
            entry
            for entry in self.photos.images_listed
            if not self._listed(entry, banned) and (wanted is None or self._listed(entry, wanted))
        ]
        self.noun = {number: merged_name(noun) for number, noun in self.photos.noun.items()}
        self.stuff_names = frozenset(self.noun[m["category_id"]] for m in self.photos.annotations if m.get("stuff"))
        self.said: dict[int, list[str]] = defaultdict(list)
        for item in _expressions(expressions):
            self.said[item["annotation_id"]].append(item["expression"])

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def names(self) -> tuple[str, ...]:
        """All category names, in alphabetical order."""
        return tuple(sorted(set(self.noun.values())))

    def judged(self, index: int) -> frozenset[str]:
        """Names of things whose absence from the labels of an image says that they are not there."""
        entry = self.entries[index]
        if entry.get("only_categories"):
            return frozenset(merged_name(name) for name in entry["only_categories"])
        return frozenset(self.names) - self.stuff_names if self.photos.complete else frozenset()

    def __getitem__(self, index: int) -> VideoSample:
        """One image as a clip of one frame. `panoptic` is there where stuff is labelled, 255 where nobody labelled."""
        entry = self.entries[index]
        image = read_entry(self.photos.images, entry)
        height, width = image.shape[:2]
        objects, panoptic = np.zeros((height, width), np.uint8), np.full((height, width), IGNORE, np.uint8)
        stuffed = bool(entry.get("stuff_labelled")) or entry.get("mask_level") == "category"
        masks = draw_masks(self.masks[entry["id"]], (height, width), self.photos.path)
        masks.sort(key=lambda pair: (not pair[1].get("stuff"), -int(pair[0].sum())))  # stuff below, small things on top
        things: dict[int, str] = {}
        stuff: dict[int, str] = {}
        said: dict[int, list[str]] = {}
        for number, (mask, annotation) in enumerate(masks[: IGNORE - 1], start=1):
            noun = self.noun[annotation["category_id"]]
            one = is_one_object(annotation) and entry.get("mask_level") not in MANY_OBJECTS
            if annotation.get("stuff") or not one:
                stuff[number] = noun  # a crowd has a name as stuff has one
                if not annotation.get("stuff"):
                    objects[mask & (objects == 0)] = IGNORE
            else:
                things[number] = noun
                objects[mask] = number
                if annotation.get("id") in self.said:
                    said[number] = self.said[annotation["id"]]
            panoptic[mask] = number
        return VideoSample(
            image[None],
            objects[None],
            things,
            complete=self.photos.complete and not entry.get("only_categories") and entry.get("mask_level") is None,
            name=f"{self.name}/{entry['file_name']}",
            panoptic=panoptic[None] if stuffed else None,
            stuff=stuff if stuffed else {},
            expressions=said,
        )

    def _listed(self, entry: dict[str, Any], names: frozenset[str]) -> bool:
        return entry["file_name"] in names or f"{self.name}/{entry['file_name']}" in names


class SemanticImages:
    """Images with maps of class numbers (PNG of the same stem), as CamVid has them.

    Args:
        images, labels: folders.
        names: of the classes 0, 1, ...; higher numbers mean that nothing is known.

    Raises UserError for missing folders and an image without its map.
    """

    def __init__(self, images: str | Path, labels: str | Path, names: Sequence[str]) -> None:
        folder = require_folder(Path(images), "semantic maps: images")
        maps = require_folder(Path(labels), "semantic maps: labels")
        map_of = files_by_stem(maps, is_mask, "semantic maps")
        self.pairs = []
        for stem, image in files_by_stem(folder, is_image, "semantic maps").items():
            if stem not in map_of:
                raise UserError(f"image {image} has no map {maps / stem}.png")
            self.pairs.append((image, map_of[stem]))
        self.names = tuple(merged_name(name) for name in names)
        self.stuff_names = frozenset(self.names)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> VideoSample:
        """One image as a clip of one frame, all of whose segments count as stuff; no objects are told apart."""
        path, label = self.pairs[index]
        image, classes = read_rgb(path), read_indices(label)
        require_same_size(image.shape, classes, f"map {label}", path)
        panoptic = np.where(classes < len(self.names), classes + 1, IGNORE).astype(np.uint8)
        seen = [int(number) for number in np.unique(panoptic) if number != IGNORE]
        return VideoSample(
            image[None],
            np.zeros((1, *panoptic.shape), np.uint8),
            name=path.stem,
            panoptic=panoptic[None],
            stuff={number: self.names[number - 1] for number in seen},
        )


def _expressions(path: str | Path | None) -> list[dict[str, Any]]:
    if path is None:
        return []
    content = read_json(Path(path), "expressions: [expression, annotation_id]")
    try:
        found = content["expressions"]
        return [item for item in found if isinstance(item["expression"], str) and int(item["annotation_id"]) >= 0]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} has no expressions with annotation_id: {error!r}") from error
