"""Images with masks in the COCO JSON: what COCO, LVIS, RefCOCO, EntitySeg and folders of one's own share.

An image is a recording of one frame. Its objects are numbered from 1 in the order of the file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from univs.fields import by_id, flag, whole
from univs.formats.files import expecting, read_json
from univs.formats.painting import compact, number_objects, paint, written
from univs.formats.panoptic_png import labels_of
from univs.formats.recording import Expression, FrameLabels, Recording
from univs.formats.sample import IGNORE, VideoSample
from univs.formats.synth_classes import class_ids, class_of, thing_ids

FIELDS = "images: [id, height, width], annotations: [image_id, category_id, segmentation], categories: [id, name]"


SEVERAL = ("group", "category")
"""Mask levels that cover several objects at once."""


class Annotation(NamedTuple):
    """A mask of an image.

    key: its official id, None where the file gives none; place: in the file. crowd: it covers several objects.
    """

    key: int | None
    place: int
    category: int
    crowd: bool
    stuff: bool
    area: float
    segmentation: Any

    @property
    def called(self) -> str:
        """Which one it is, for messages."""
        return f"annotation number {self.place}" if self.key is None else f"annotation {self.key}"


class CocoImage(NamedTuple):
    """An image: its official id, its file as the JSON calls it (or where it is to be had), height and width.

    level, only, stuffed: what folders of one's own say of it (see `univs.formats.image_folder`).
    """

    key: int
    file: str
    size: tuple[int, int]
    level: str | None = None
    only: tuple[str, ...] = ()
    stuffed: bool = False


@dataclass(frozen=True)
class CocoFile:
    """What a file holds: images in its order, the masks of each, names of its categories, and which are stuff."""

    path: Path
    images: list[CocoImage]
    annotations: Mapping[int, list[Annotation]]
    names: Mapping[int, str]
    stuff: frozenset[int]

    @property
    def things(self) -> frozenset[int]:
        """Categories that are not stuff."""
        return frozenset(self.names) - self.stuff


def read_coco(path: Path, what: str) -> CocoFile:
    """A COCO file. Raises UserError for one that cannot be read and for entries that do not fit."""
    return coco_file(path, read_json(path, what, ("images", "annotations", "categories")))


def coco_file(path: Path, content: Mapping[str, Any]) -> CocoFile:
    """The same for content that has been read, of a file that messages name."""
    with expecting(path, FIELDS):
        names = by_id((whole(row["id"]), str(row["name"])) for row in content["categories"])
        stuff = frozenset(whole(row["id"]) for row in content["categories"] if is_stuff(row))
        images = list(by_id((image.key, image) for image in map(image_of, content["images"])).values())
        annotations: dict[int, list[Annotation]] = defaultdict(list)
        for place, row in enumerate(content["annotations"]):
            category = whole(row["category_id"])
            if category not in names:
                raise ValueError(f"annotation {place} has the unknown category {category}")
            need_mask(row, place)
            one = Annotation(
                key=whole(row["id"]) if "id" in row else None,
                place=place,
                category=category,
                crowd=flag(row.get("iscrowd")) or row.get("mask_level") in SEVERAL,
                stuff=flag(row.get("stuff")) or category in stuff,
                area=float(row.get("area", 0)),
                segmentation=compact(row["segmentation"]),
            )
            annotations[whole(row["image_id"])].append(one)
        if annotations and not any(one.segmentation for found in annotations.values() for one in found):
            raise ValueError("no annotation has a mask in its segmentation: boxes alone")
    return CocoFile(path, images, dict(annotations), names, stuff)


def need_mask(annotation: dict[str, Any], place: int) -> None:
    """Raises ValueError for an annotation without segmentation; `place` is its number in the file."""
    if "segmentation" not in annotation:
        number = annotation.get("id", place)
        raise ValueError(
            f"annotation {number} has no segmentation (boxes alone, as tools for detection write them); expected "
            "polygons or an RLE"
        )


def is_stuff(category: Mapping[str, Any]) -> bool:
    """Whether a category is said to be stuff (COCO panoptic says `isthing`, EntitySeg `type`)."""
    return category.get("isthing", 1) == 0 or category.get("type") == "stuff"


def image_of(row: Mapping[str, Any]) -> CocoImage:
    """An entry of `images`. Raises KeyError and the like for one that does not fit."""
    size, only = (whole(row["height"]), whole(row["width"])), row.get("only_categories") or ()
    if min(size) < 1:
        raise ValueError(f"image {row['id']} has {size[1]}x{size[0]} pixels")
    if isinstance(only, str):
        raise ValueError(f"only_categories of image {row['id']} is {only!r}, not a list of names")
    level = row.get("mask_level")
    return CocoImage(
        whole(row["id"]), file_of(row), size, level, tuple(map(str, only)), flag(row.get("stuff_labelled"))
    )


def file_of(row: Mapping[str, Any]) -> str:
    """The file of an image: `file_name`, or the folder and name at the end of LVIS's `coco_url`."""
    if "coco_url" in row and "file_name" not in row:
        return "/".join(str(row["coco_url"]).split("/")[-2:])
    return str(row["file_name"])


def image_recording(
    image: CocoImage, file: Path, source: CocoFile, expressions: Sequence[Expression] = ()
) -> Recording:
    """An image at `file` with the masks that its source has of it."""
    annotations = source.annotations.get(image.key, [])
    ids = number_annotations(annotations)
    named = [(number, source.names[one.category], one.stuff) for number, one in zip(ids, annotations, strict=True)]
    stuff = {number: name for number, name, is_stuff in named if is_stuff and number != IGNORE}
    what = f"{source.path}, image {image.key}"
    return Recording(
        name=Path(image.file).with_suffix("").as_posix(),
        frames=(file,),
        annotated=(0,),
        labels=partial(
            label_image,
            annotations=annotations,
            stuff=frozenset(stuff),
            size=image.size,
            what=what,
            full=bool(source.stuff),
        ),
        key=image.key,
        categories={number: name for number, name, is_stuff in named if not is_stuff and number != IGNORE},
        stuff=stuff,
        expressions=tuple(expressions),
    )


def number_annotations(annotations: Sequence[Annotation]) -> list[int]:
    """The ids of an image's masks; 255 for crowds and for all but the 254 largest."""
    return number_objects([one.area for one in annotations], [one.crowd for one in annotations])


def label_image(
    index: int,
    *,
    annotations: Sequence[Annotation],
    stuff: frozenset[int],
    size: tuple[int, int],
    what: str,
    full: bool,
) -> FrameLabels:
    """The labels of an image; with a panoptic map if `full`. Raises UserError for masks that do not fit."""

    def where(place: int) -> str:
        return f"{what}, {annotations[place].called}"

    crowd = [one.crowd for one in annotations]
    masks = [one.segmentation for one in annotations]
    labels = paint(masks, number_annotations(annotations), size, where, crowd)
    if not full:
        return FrameLabels(labels)
    return labels_of(labels, stuff)


def frames_of(sample: VideoSample) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Every frame of a clip with its labels and its panoptic map (the labels again where the clip has none)."""
    yield from zip(
        sample.frames, sample.labels, sample.labels if sample.panoptic is None else sample.panoptic, strict=True
    )


class CocoContent:
    """The content of a COCO file, gathered image by image."""

    def __init__(self, things_only: bool = True, first_image: int = 1, first_annotation: int = 1) -> None:
        """Categories are those of SynthVS, from 1; ids of images and annotations go up from the first ones."""
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self._classes = thing_ids() if things_only else class_ids()
        self._image, self._annotation = first_image, first_annotation

    @property
    def next_image(self) -> int:
        """The id that the next image will have."""
        return self._image

    def add(self, sample: VideoSample, labels: np.ndarray, **row: Any) -> dict[int, int]:
        """Adds an image with every segment of `labels`, H W, and what else its entry says.

        Returns id of object -> id of annotation. Raises UserError for objects that are not of SynthVS's classes.
        """
        height, width = labels.shape
        self.images.append({"id": self._image, "height": height, "width": width, **row})
        added = {}
        for number in np.unique(labels).tolist():
            if number in (0, IGNORE):
                continue
            added[number] = self._annotation
            ids = {"id": self._annotation, "image_id": self._image, "category_id": class_of(sample, number)}
            self.annotations.append({**ids, **written(labels == number), "iscrowd": 0})
            self._annotation += 1
        self._image += 1
        return added

    def content(self) -> dict[str, Any]:
        """The whole file."""
        categories = [{"id": number, "name": name, "supercategory": "object"} for name, number in self._classes.items()]
        return {
            "info": {"description": "SynthVS"},
            "licenses": [],
            "images": self.images,
            "annotations": self.annotations,
            "categories": categories,
        }
