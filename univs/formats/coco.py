"""COCO 2017 instances and LVIS v1: photos with masks of things, in one JSON per split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from univs.formats.coco_images import CocoContent, CocoFile, CocoImage, frames_of, image_recording, read_coco
from univs.formats.files import first_file, first_folder, inside, write_json
from univs.formats.lazy import LazyRecordings
from univs.formats.recording import Recording, RecordingSet
from univs.formats.sample import VideoSample
from univs.video.pictures import write_picture

TITLES = {"coco": "COCO instances", "lvis": "LVIS"}
FILES = {
    "coco": ("annotations/instances_{}2017.json", "instances_{}2017.json"),
    "lvis": ("annotations/lvis_v1_{}.json", "lvis_v1_{}.json", "lvis/lvis_v1_{}.json"),
}
FOLDERS = ("{}2017", "images/{}2017", "coco/{}2017")


def read(root: Path, split: str, *, style: str) -> RecordingSet:
    """A split. Photos are complete for no style: only things of the listed categories are labelled."""
    source = read_coco(first_file(root, [name.format(split) for name in FILES[style]], TITLES[style]), TITLES[style])
    names = [name.format(part) for name in FOLDERS for part in dict.fromkeys((split, "train", "val"))]
    folder = first_folder(root, [name.format(split) for name in FOLDERS] if style == "coco" else names, TITLES[style])
    make = partial(make_recording, folder=folder, source=source)
    return RecordingSet(
        style, split, root, LazyRecordings(make, source.images), source.names, source.things, source.path
    )


def make_recording(image: CocoImage, *, folder: Path, source: CocoFile) -> Recording:
    """A photo of COCO; LVIS names the folder of its photos too, because its splits are not those of COCO."""
    home = folder.parent if "/" in image.file else folder
    return image_recording(image, inside(home, image.file), source)


def write(samples: Iterable[VideoSample], root: Path, split: str, *, style: str) -> None:
    """Writes every frame of the clips as a photo. Raises UserError for objects that are not of SynthVS's classes."""
    content = CocoContent()
    for sample in samples:
        for frame, labels, _ in frames_of(sample):
            name = f"{content.next_image:012d}.jpg"
            write_picture(root / f"{split}2017" / name, frame)
            url = f"http://images.cocodataset.org/{split}2017/{name}"
            content.add(sample, labels, coco_url=url, **({"file_name": name} if style == "coco" else {}))
    written = content.content()
    if style == "lvis":
        add_lvis_fields(written)
    write_json(root / FILES[style][0].format(split), written)


def add_lvis_fields(content: dict[str, Any]) -> None:
    """What LVIS says beyond COCO: how frequent its categories are; that none is known to be missing or incomplete."""
    images = defaultdict(set)
    for row in content["annotations"]:
        images[row["category_id"]].add(row["image_id"])
        del row["iscrowd"]
    instances = Counter(row["category_id"] for row in content["annotations"])
    for row in content["images"]:
        row.update(neg_category_ids=[], not_exhaustive_category_ids=[])
    for row in content["categories"]:
        number, count = row["id"], len(images[row["id"]])
        frequency = "r" if count <= 10 else "c" if count <= 100 else "f"
        words = {"synset": f"{row['name'].replace(' ', '_')}.n.01", "synonyms": [row["name"]], "def": row["name"]}
        row.update(image_count=count, instance_count=instances[number], frequency=frequency, **words)
