"""Folders of labelled images of one's own: `annotations.json` in the COCO format beside `images/`.

Beyond COCO, an annotation may be of stuff ("stuff": 1) or cover several objects at once ("mask_level": "group" or
"category", as a crowd does), and an image may say that its stuff is labelled ("stuff_labelled": 1), what all its masks
cover ("mask_level") and for which names alone things are labelled ("only_categories").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from univs.formats.coco_images import SEVERAL, Annotation, CocoFile, CocoImage, read_coco
from univs.formats.files import expecting, folder_name, inside, is_named, read_names, require_folder
from univs.formats.lazy import LazyRecordings
from univs.formats.painting import MOST_OBJECTS, overlay
from univs.formats.recording import Expression, FrameLabels, Recording
from univs.formats.sample import IGNORE
from univs.masks.rle import ReadMasks, read_masks
from univs.texts import read_json

TITLE = "COCO images"
SAID = "expressions: [expression, annotation_id]"


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder, or those chosen of them.

    name: of the folder. home: where the images lie. complete: whether things of no listed name may be taken for
    background, on images without `only_categories`. stuffed: whether stuff is read where it is labelled.
    said: annotation -> what is true of its object alone.
    """

    name: str
    home: Path
    source: CocoFile
    images: tuple[CocoImage, ...]
    complete: bool
    stuffed: bool
    said: Mapping[int, Sequence[str]]

    @property
    def recordings(self) -> Sequence[Recording]:
        """A recording of one frame for each image. Objects are numbered from the largest on."""
        return LazyRecordings(partial(_recording, folder=self), self.images)

    @property
    def stuff_names(self) -> frozenset[str]:
        """Names that some stuff has."""
        rows = (one for masks in self.source.annotations.values() for one in masks)
        return frozenset(self.source.names[one.category] for one in rows if one.stuff)

    def things(self, index: int) -> frozenset[str]:
        """Names of the objects on an image that have a mask of their own; nothing is decoded."""
        image = self.images[index]
        masks = self.source.annotations.get(image.key, ())
        return frozenset(
            self.source.names[one.category]
            for one in masks
            if one.segmentation and not one.stuff and _is_single(one, image)
        )

    def with_things(self) -> ImageFolder:
        """The images that show at least one such object."""
        return replace(self, images=tuple(image for k, image in enumerate(self.images) if self.things(k)))


def read_folder(
    root: Path,
    *,
    expressions: Path | None = None,
    exclude: str | Path | list[str] | None = None,
    only: str | Path | list[str] | None = None,
    complete: bool = True,
    stuffed: bool = True,
) -> ImageFolder:
    """A folder; `exclude` and `only` (lists, or text files) name images to leave out, or to take alone, as `file.jpg`
    or `folder/file.jpg`.

    expressions: a JSON of `expressions`, each with `expression` and `annotation_id`. Raises UserError for missing and
    malformed files; what is wrong with an image or its masks is said when they are read.
    """
    images = require_folder(root / "images", f"{TITLE}: images")
    source = read_coco(root / "annotations.json", TITLE)
    banned, wanted = read_names(exclude), None if only is None else read_names(only)
    name = folder_name(root)
    chosen = tuple(
        image
        for image in source.images
        if not is_named(banned, name, image.file) and (wanted is None or is_named(wanted, name, image.file))
    )
    said = {} if expressions is None else _read_expressions(expressions)
    return ImageFolder(name, images, source, chosen, complete, stuffed, said)


def _read_expressions(path: Path) -> dict[int, list[str]]:
    """Annotation -> what is said of it."""
    content, said = read_json(path, SAID), defaultdict(list)
    with expecting(path, SAID):
        for row in content["expressions"]:
            said[int(row["annotation_id"])].append(str(row["expression"]))
    return dict(said)


def _is_single(one: Annotation, image: CocoImage) -> bool:
    """Whether a mask is of one object or segment: neither it nor all masks of its image cover several."""
    return not one.crowd and image.level not in SEVERAL


def _recording(image: CocoImage, *, folder: ImageFolder) -> Recording:
    """The recording of an image; its masks are read (not drawn) here, because their sizes number them."""
    every = folder.source.annotations.get(image.key, ())
    masks = [one for one in every if one.segmentation and (folder.stuffed or not one.stuff)]
    read = read_masks([one.segmentation for one in masks], image.size, partial(_where, folder.source.path, masks))
    things = [not one.stuff and _is_single(one, image) for one in masks]
    order = sorted(range(len(masks)), key=lambda place: (not things[place], -read.areas[place]))
    numbers = {place: number for number, place in enumerate(order[:MOST_OBJECTS], 1)}
    named = [(number, masks[place], things[place]) for place, number in numbers.items()]
    full = folder.stuffed and (image.stuffed or image.level == "category")
    labels = partial(
        _label,
        read=read,
        size=image.size,
        ids=[numbers.get(place, IGNORE) for place in range(len(masks))],
        things=things,
        stuff=[one.stuff for one in masks],
        full=full,
    )
    names = folder.source.names
    return Recording(
        name=f"{folder.name}/{image.file}",
        frames=(inside(folder.home, image.file),),
        annotated=(0,),
        labels=labels,
        key=image.key,
        categories={number: names[one.category] for number, one, thing in named if thing},
        stuff={number: names[one.category] for number, one, thing in named if full and not thing},
        expressions=tuple(
            Expression(f"{one.key}/{k}", text, number)
            for number, one, thing in named
            if thing and one.key is not None
            for k, text in enumerate(folder.said.get(one.key, ()))
        ),
        complete=folder.complete and not image.only and image.level is None,
    )


def _where(path: Path, masks: Sequence[Annotation], place: int) -> str:
    return f"{path}, {masks[place].called}"


def _label(
    index: int,
    *,
    read: ReadMasks,
    size: tuple[int, int],
    ids: Sequence[int],
    things: Sequence[bool],
    stuff: Sequence[bool],
    full: bool,
) -> FrameLabels:
    """The labels of an image. Where several objects have one mask, nobody knows which is which, but what they are."""
    objects = [
        None if other else number if thing else IGNORE for number, thing, other in zip(ids, things, stuff, strict=True)
    ]
    found = overlay(read, objects, size, [int(thing) for thing in things])
    if not full:
        return FrameLabels(found)
    return FrameLabels(found, overlay(read, ids, size, [int(not one) for one in stuff], base=IGNORE))
