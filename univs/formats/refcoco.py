"""RefCOCO, RefCOCO+ and RefCOCOg: photos of COCO 2014 with sentences, each meaning one object of its photo.

The makers' own layout (`refs(unc).p`, a pickle read as plain values only, beside `instances.json`), and the JSON per
split that MDETR and those after it use (`instances_refcoco_val.json`: an entry of `images` for each sentence).
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from univs.errors import UserError
from univs.files import atomic_path
from univs.formats.coco_images import (
    CocoContent,
    CocoFile,
    CocoImage,
    coco_file,
    frames_of,
    image_recording,
    number_annotations,
    read_coco,
)
from univs.formats.files import expecting, first_folder, inside, read_json, write_json
from univs.formats.lazy import LazyRecordings
from univs.formats.plain_pickle import read_plain_pickle
from univs.formats.recording import Expression, Recording, RecordingSet
from univs.formats.sample import IGNORE, VideoSample
from univs.formats.synth_classes import class_of
from univs.video.pictures import write_picture

HOMES = {
    "refcoco": ("refcoco", "."),
    "refcoco+": ("refcoco+", "refcocoplus", "refcoco_plus", "."),
    "refcocog": ("refcocog", "."),
}
PHOTOS = (
    "images/mscoco/images/train2014",
    "images/mscoco/train2014",
    "images/train2014",
    "coco/train2014",
    "train2014",
)
OTHER_PHOTOS = ("images/train2017", "coco/train2017", "train2017")
PREFIX = "COCO_train2014_"
REFS = "a list of ref_id, ann_id, image_id, split, sentences: [sent_id, sent]"


class Said(NamedTuple):
    """A sentence: its id, its words and the id of the annotation that it means."""

    key: str
    text: str
    annotation: int


class SaidImage(NamedTuple):
    """A photo with what is said about it."""

    image: CocoImage
    said: list[Said]


def read(root: Path, split: str, *, dataset: str, by: str) -> RecordingSet:
    """The photos of a split about which something is said, with all their annotated objects.

    Raises UserError where neither layout is there, and for a pickle that holds more than plain values.
    """
    title = f"{dataset} ({by})"
    homes = [root / name for name in HOMES[dataset]]
    official = next((home for home in homes if (home / f"refs({by}).p").is_file()), None)
    converted = f"instances_{dataset}_{split}.json"
    path = next((home / converted for home in homes if (home / converted).is_file()), None)
    if official is not None:
        source = read_coco(official / "instances.json", title)
        said = read_refs(official / f"refs({by}).p", split, title)
    elif path is not None:
        source, said = read_converted(path, title)
    else:
        raise UserError(f"{title}: no file {homes[0]}/refs({by}).p (nor {converted})")
    folder = first_folder(root, (*PHOTOS, *OTHER_PHOTOS), f"{title} photos")
    photos = [SaidImage(image, said[image.key]) for image in source.images if image.key in said]
    check_meant(photos, source)
    make = partial(make_recording, folder=folder, source=source)
    return RecordingSet(set_name(dataset, by), split, root, LazyRecordings(make, photos), source.names, source.things)


def set_name(dataset: str, by: str) -> str:
    """The name of a set."""
    return dataset.replace("+", "_plus") + ("_google" if by == "google" else "")


def read_refs(path: Path, split: str, title: str) -> dict[int, list[Said]]:
    """Photo -> what is said about it in a split."""
    said: dict[int, list[Said]] = defaultdict(list)
    refs = read_plain_pickle(path, title)
    with expecting(path, REFS):
        for ref in refs:
            if str(ref["split"]) == split:
                for one in ref["sentences"]:
                    said[int(ref["image_id"])].append(Said(str(one["sent_id"]), str(one["sent"]), int(ref["ann_id"])))
    if not said:
        raise UserError(f"{title}: {path} has nothing of the split {split}")
    return dict(said)


def read_converted(path: Path, title: str) -> tuple[CocoFile, dict[int, list[Said]]]:
    """The photos of a converted file, each once, and what is said about them.

    An entry of `images` is a sentence (`caption`) there, and its annotation the object meant; annotations with one box
    on a photo are one object. Only objects that are meant are known.
    """
    content = read_json(path, title, ("images", "annotations"))
    said: dict[int, list[Said]] = defaultdict(list)
    images: dict[int, dict[str, Any]] = {}
    photo_of: dict[int, tuple[int, str]] = {}
    objects: dict[tuple[Any, ...], dict[str, Any]] = {}
    with expecting(path, "images: [id, file_name, caption], annotations: [image_id, bbox, segmentation]"):
        numbers: dict[str, int] = {}
        for row in content["images"]:
            photo = int(row.get("original_id", numbers.setdefault(str(row["file_name"]), len(numbers) + 1)))
            images.setdefault(photo, {**row, "id": photo})
            photo_of[int(row["id"])] = (photo, str(row["caption"]))
        for row in content["annotations"]:
            photo, text = photo_of[int(row["image_id"])]
            first = objects.setdefault((photo, *row["bbox"]), {**row, "image_id": photo})
            said[photo].append(Said(str(row["image_id"]), text, int(first["id"])))
        names = {int(row["id"]): row for row in content.get("categories") or ()}
        for row in objects.values():
            names.setdefault(int(row["category_id"]), {"id": int(row["category_id"]), "name": "object"})
    unique = {"images": list(images.values()), "annotations": list(objects.values()), "categories": names.values()}
    return coco_file(path, unique), dict(said)


def check_meant(photos: Iterable[SaidImage], source: CocoFile) -> None:
    """Raises UserError for a sentence about an object that its photo does not have."""
    for image, said in photos:
        known = {one.key for one in source.annotations.get(image.key, ())}
        for one in said:
            if one.annotation not in known:
                raise UserError(
                    f"{source.path}: image {image.key} has no annotation {one.annotation}, meant by sentence {one.key}"
                )


def make_recording(photo: SaidImage, *, folder: Path, source: CocoFile) -> Recording:
    """A photo with its sentences. COCO 2017 has the same photos under shorter names."""
    name = photo.image.file if folder.name.endswith("2014") else photo.image.file.removeprefix(PREFIX)
    annotations = source.annotations[photo.image.key]
    ids = {one.key: number for one, number in zip(annotations, number_annotations(annotations), strict=True)}
    expressions = [
        Expression(one.key, one.text, None if ids[one.annotation] == IGNORE else ids[one.annotation])
        for one in photo.said
    ]
    return image_recording(photo.image, inside(folder, name), source, expressions)


def write(samples: Iterable[VideoSample], root: Path, split: str, *, dataset: str, by: str) -> None:
    """Writes every frame of the clips as a photo, in the makers' layout, beside the other splits already there.

    Sentences are those that the clip has of the objects seen on the frame. Raises UserError for objects that are not of
    SynthVS's classes.
    """
    home = root / HOMES[dataset][0]
    kept, refs = kept_splits(home, split, by)
    start = {key: 1 + max((row["id"] for row in kept[key]), default=0) for key in ("images", "annotations")}
    content = CocoContent(first_image=start["images"], first_annotation=start["annotations"])
    for sample in samples:
        for frame, labels, _ in frames_of(sample):
            number, name = content.next_image, f"{PREFIX}{content.next_image:012d}.jpg"
            write_picture(root / PHOTOS[0] / name, frame)
            for object_id, annotation in content.add(sample, labels, file_name=name).items():
                if texts := sample.expressions.get(object_id):
                    refs.append(ref_of(refs, texts, split, number, annotation, class_of(sample, object_id)))
    written = content.content()
    for key in ("images", "annotations"):
        written[key] = kept[key] + written[key]
    write_json(home / "instances.json", written)
    with atomic_path(home / f"refs({by}).p") as temporary:
        temporary.write_bytes(pickle.dumps(refs, protocol=2))


def kept_splits(home: Path, split: str, by: str) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    """Images, annotations and references of the other splits, all of which lie in the same two files."""
    path = home / f"refs({by}).p"
    if not path.is_file():
        return {"images": [], "annotations": []}, []
    refs = [ref for ref in read_plain_pickle(path, str(home)) if ref["split"] != split]
    content = read_json(home / "instances.json", str(home), ("images", "annotations"))
    photos = {ref["image_id"] for ref in refs}
    images = [row for row in content["images"] if row["id"] in photos]
    return {"images": images, "annotations": [r for r in content["annotations"] if r["image_id"] in photos]}, refs


def ref_of(
    refs: list[dict[str, Any]], texts: Iterable[str], split: str, image: int, annotation: int, category: int
) -> dict[str, Any]:
    """What is said about one object of a photo; ids of sentences go on from those of `refs`."""
    first = 1 + max((key for ref in refs[-1:] for key in ref["sent_ids"]), default=-1)
    sentences = [
        {"tokens": text.split(), "raw": text, "sent_id": key, "sent": text} for key, text in enumerate(texts, first)
    ]
    return {
        "sent_ids": [one["sent_id"] for one in sentences],
        "file_name": f"{PREFIX}{image:012d}_{annotation}.jpg",
        "ann_id": annotation,
        "ref_id": 1 + max((ref["ref_id"] for ref in refs[-1:]), default=-1),
        "image_id": image,
        "split": split,
        "category_id": category,
        "sentences": sentences,
    }
