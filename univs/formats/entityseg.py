"""EntitySeg: photos in which every entity, thing or stuff, has a mask, in the COCO JSON.

Releases name their files differently (`FILES`), some are in three parts, and the photos lie in folders of several
names; a photo is looked for where its entry says, then by its name in all folders below `images`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from univs.errors import UserError
from univs.formats.coco_images import CocoContent, CocoFile, CocoImage, coco_file, frames_of, image_recording
from univs.formats.files import expecting, first_folder, inside, read_json, write_json
from univs.formats.label_maps import video_name
from univs.formats.lazy import LazyRecordings
from univs.formats.recording import Recording, RecordingSet
from univs.formats.sample import VideoSample
from univs.formats.synth_classes import thing_ids
from univs.video.images import is_image
from univs.video.pictures import write_picture

TITLE = "EntitySeg"
FILES = (
    "entityseg_{}_0[1-9].json",
    "entityv2_010203_entity_{}.json",
    "entityv2_0[1-9]_entity_{}.json",
    "entityseg_panseg_{}.json",
    "entityseg_insseg_{}.json",
)
HOMES = ("annotations", "annotations/entity_segmentation", ".")
PHOTOS = "entity_01_11580"
UNNAMED = "entity"
"""What an entity is called whose class the file does not list."""


class EntityImage(NamedTuple):
    """A photo, the file that its masks are of (its place among the files), and where it lies."""

    image: CocoImage
    part: int
    path: Path


def read(root: Path, split: str) -> RecordingSet:
    """A split, of the first kind of `FILES` that is there. Raises UserError for photos that are nowhere."""
    parts = [read_part(path) for path in find_files(root, split)]
    folder = first_folder(root, ("images", "."), f"{TITLE} photos")
    photos = [EntityImage(image, place, Path(image.file)) for place, part in enumerate(parts) for image in part.images]
    where = places_of(folder) if any(not (folder / photo.path).is_file() for photo in photos) else {}
    photos = [photo._replace(path=locate(photo.image, folder, where)) for photo in photos]
    names: dict[int, str] = {}
    for part in reversed(parts):
        names.update(part.names)
    stuff = frozenset().union(*(part.stuff for part in parts))
    recordings = LazyRecordings(partial(make_recording, parts=parts), photos)
    return RecordingSet("entityseg", split, root, recordings, names, frozenset(names) - stuff)


def find_files(root: Path, split: str) -> list[Path]:
    """The files of a split. Raises UserError if there is none."""
    names = [pattern.format(split) for pattern in FILES]
    for name in (spelling for plain in names for spelling in (plain, f"{plain}.gz")):
        for home in HOMES:
            if found := sorted((root / home).glob(name)):
                return found
    raise UserError(f"{TITLE}: no file {root / HOMES[0]}/{names[0]} (nor {', '.join(names[1:])})")


def read_part(path: Path) -> CocoFile:
    """One file. An entity is of the class `category_id_ori` says, else `category_id`, else of none."""
    content = read_json(path, TITLE, ("images", "annotations"))
    with expecting(path, "categories: [id, name], annotations: [category_id]"):
        categories = list(content.get("categories") or ())
        known = {int(row["id"]) for row in categories}
        by_name = {str(row["name"]): int(row["id"]) for row in categories}
        other = max(known, default=0) + 1
        for row in content["annotations"]:
            said = [row.get("category_id_ori"), row.get("category_id")]
            ids = [by_name.get(str(one), int(one) if str(one).isdecimal() else -1) for one in said]
            row["category_id"] = next((number for number in ids if number in known), other)
        if any(row["category_id"] == other for row in content["annotations"]):
            categories.append({"id": other, "name": UNNAMED})
    return coco_file(path, {**content, "categories": categories})


def places_of(folder: Path) -> dict[str, list[Path]]:
    """Name of a photo -> the files of that name in any folder below."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if is_image(path):
            found[path.name].append(path)
    return found


def locate(image: CocoImage, folder: Path, where: Mapping[str, list[Path]]) -> Path:
    """The file of a photo. Raises UserError if there is none, or several that might be meant."""
    path = inside(folder, image.file)
    if path.is_file():
        return path
    found = where.get(path.name, [])
    if len(found) != 1:
        what = f"{len(found)} photos called {path.name} below {folder}" if found else f"no photo {path}"
        raise UserError(f"{TITLE}: {what}")
    return found[0]


def make_recording(photo: EntityImage, *, parts: list[CocoFile]) -> Recording:
    """The recording of a photo."""
    return image_recording(photo.image, photo.path, parts[photo.part])


def write(samples: Iterable[VideoSample], root: Path, split: str) -> None:
    """Writes every frame of the clips as a photo with its things and, where the clip knows it, its stuff.

    Raises UserError for segments that are not of SynthVS's classes.
    """
    content = CocoContent(things_only=False)
    for place, sample in enumerate(samples):
        for t, (frame, _, segments) in enumerate(frames_of(sample)):
            name = f"{PHOTOS}/{split}_{video_name(sample, place)}_{t:05d}.jpg"
            write_picture(root / "images" / name, frame)
            content.add(sample, segments, file_name=name)
    written: dict[str, Any] = content.content()
    for row in written["categories"]:
        row["type"] = "thing" if row["name"] in thing_ids() else "stuff"
    file = f"entityseg_{split}_01.json" if split == "train" else f"entityseg_panseg_{split}.json"
    write_json(root / "annotations" / file, written)
