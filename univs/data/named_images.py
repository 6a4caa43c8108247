"""Labelled images with names, as clips of one frame: things, stuff and expressions of COCO folders, semantic maps, and
frames of the built-in world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from univs.errors import UserError
from univs.formats.files import files_by_stem, require_folder
from univs.formats.image_folder import read_folder
from univs.formats.label_pixels import read_indices, require_same_size
from univs.formats.sample import IGNORE, VideoSample
from univs.masks.mask_files import is_mask
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


def renamed(sample: VideoSample) -> VideoSample:
    """The same clip under merged names."""
    things = {number: merged_name(name) for number, name in sample.categories.items()}
    stuff = {number: merged_name(name) for number, name in sample.stuff.items()}
    return replace(sample, categories=things, stuff=stuff)


class Samples(Protocol):
    """A data set of images or videos with names."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def stuff_names(self) -> frozenset[str]:
        """Those that no object has."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> VideoSample: ...


class NamedImages:
    """Images of a folder (see `univs.formats.image_folder`) with the merged names of their things and stuff.

    Args:
        root: the folder.
        expressions: a JSON of `expressions`, each with `expression` and `annotation_id`.
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
        said = None if expressions is None else Path(expressions)
        self.folder = read_folder(Path(root), expressions=said, exclude=exclude, only=only, complete=complete)
        self.names = tuple(sorted({merged_name(name) for name in self.folder.source.names.values()}))
        self.stuff_names = frozenset(map(merged_name, self.folder.stuff_names))

    def __len__(self) -> int:
        return len(self.folder.images)

    def judged(self, index: int) -> frozenset[str]:
        """Names of things whose absence from the labels of an image says that they are not there."""
        image = self.folder.images[index]
        if image.only:
            return frozenset(map(merged_name, image.only))
        return frozenset(self.names) - self.stuff_names if self.folder.complete else frozenset()

    def things(self, index: int) -> frozenset[str]:
        """Names of the objects on an image that have a mask of their own; nothing is decoded."""
        return frozenset(map(merged_name, self.folder.things(index)))

    def __getitem__(self, index: int) -> VideoSample:
        """One image as a clip of one frame. `panoptic` is there where stuff is labelled, 255 where nobody labelled."""
        return renamed(self.folder.recordings[index].sample())


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


class SynthWords:
    """Single frames of the built-in world under merged names; arguments (`options`) as for `SynthVS`."""

    def __init__(self, **options: Any) -> None:
        from univs.data.synth import SynthVS
        from univs.data.synth.vocabulary import vocabulary as synth_vocabulary

        self.options = options
        self.world = SynthVS(**{"split": "train", "num_frames": 1, **options})
        words = synth_vocabulary()
        self.names = tuple(sorted({merged_name(name) for name in words.names if name not in words.unseen}))
        self.stuff_names = frozenset(merged_name(name) for name in words.stuff)

    def __len__(self) -> int:
        return len(self.world)

    def __getitem__(self, index: int) -> VideoSample:
        return renamed(self.world[index])
