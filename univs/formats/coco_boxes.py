"""Images with boxes in the COCO JSON, `annotations.json` beside `images/`; masks in it are not read."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path

from univs.errors import UserError
from univs.fields import by_id, flag, whole
from univs.formats.boxes import Box, FrameBoxes, box_of_corner
from univs.formats.coco_images import CocoImage, image_of
from univs.formats.files import expecting, folder_name, inside, is_named, read_json, read_names, require_folder
from univs.formats.lazy import LazyRecordings
from univs.formats.recording import Recording, RecordingSet

TITLE = "COCO boxes"
FIELDS = "images: [id, file_name, height, width], annotations: [image_id, bbox]"


def read_folder(root: Path, *, exclude: str | Path | list[str] | None = None, complete: bool = True) -> RecordingSet:
    """The images of a folder that have boxes; objects are numbered from 1 in the order of the file.

    exclude: names of images, as `file.jpg` or `folder/file.jpg`, a list or a text file. complete: whether every object
    has a box; an image with a crowd (`iscrowd`), which is left out, is not complete. Raises UserError for missing and
    malformed files.
    """
    images, path = require_folder(root / "images", TITLE), root / "annotations.json"
    content, banned = read_json(path, TITLE, ("images", "annotations")), read_names(exclude)
    boxes: dict[int, list[Box]] = defaultdict(list)
    crowded = set()
    with expecting(path, FIELDS):
        every = by_id((image.key, image) for image in map(image_of, content["images"]))
        for place, row in enumerate(content["annotations"]):
            key = whole(row["image_id"])
            if flag(row.get("iscrowd")):
                crowded.add(key)
                continue
            if "bbox" not in row:
                raise ValueError(f"annotation {row.get('id', place)} has no bbox")
            boxes[key].append(box_of_corner(row["bbox"]))
    name = folder_name(root)
    chosen = [image for image in every.values() if boxes.get(image.key) and not is_named(banned, name, image.file)]
    if not chosen:
        raise UserError(f"{TITLE}: {path} has no image left with a box")
    make = partial(_recording, name=name, folder=images, boxes=dict(boxes), crowded=crowded, complete=complete)
    return RecordingSet(name, "", root, LazyRecordings(make, chosen))


def _recording(
    image: CocoImage, *, name: str, folder: Path, boxes: dict[int, list[Box]], crowded: set[int], complete: bool
) -> Recording:
    found = dict(enumerate(boxes[image.key], 1))
    return Recording(
        f"{name}/{image.file}",
        (inside(folder, image.file),),
        (0,),
        boxes=partial(_boxes, boxes=found),
        key=image.key,
        complete=complete and image.key not in crowded,
    )


def _boxes(index: int, *, boxes: FrameBoxes) -> FrameBoxes:
    return boxes
