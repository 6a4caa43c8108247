"""COCO 2017 panoptic: photos with a PNG in which every pixel belongs to a thing, to stuff or to nothing known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from univs.formats.answer_writer import Take, frame_file
from univs.formats.files import expecting, first_file, first_folder, inside, read_json, write_json
from univs.formats.lazy import LazyRecordings
from univs.formats.panoptic_png import (
    MappedFrame,
    PanopticAnswers,
    categories_to_write,
    mapped_recording,
    pixels_of,
    segments_of,
    segments_to_write,
    things_in,
    write_keys,
)
from univs.formats.recording import Recording, RecordingSet
from univs.formats.sample import VideoSample
from univs.formats.synth_classes import class_ids
from univs.formats.truth_files import link
from univs.results import FrameResult
from univs.video.pictures import write_picture

TITLE = "COCO panoptic"
FIELDS = (
    "images: [id, file_name, height, width], annotations: [image_id, file_name, segments_info: [id, category_id]], "
    "categories: [id, name, isthing]"
)
FILE = "annotations/panoptic_{}2017.json"
MAPS = ("annotations/panoptic_{}2017", "panoptic_{}2017", "annotations/panoptic_{0}2017/panoptic_{0}2017")
PHOTOS = ("{}2017", "images/{}2017")


def read(root: Path, split: str) -> RecordingSet:
    """A split; crowds and what belongs to no segment are 255."""
    path = first_file(root, [FILE.format(split), Path(FILE).name.format(split)], TITLE)
    maps = first_folder(root, [name.format(split) for name in MAPS], f"{TITLE} maps")
    folder = first_folder(root, [name.format(split) for name in PHOTOS], f"{TITLE} photos")
    content = read_json(path, TITLE, ("images", "annotations", "categories"))
    with expecting(path, FIELDS):
        names, things = things_in(content)
        images = {int(row["id"]): row for row in content["images"]}
        photos = []
        for row in content["annotations"]:
            image = images[int(row["image_id"])]
            size = (int(image["height"]), int(image["width"]))
            segments = segments_of(row, things, names)
            frame = MappedFrame(str(image["file_name"]), str(row["file_name"]), size, segments)
            photos.append((int(row["image_id"]), frame))
    make = partial(make_recording, folder=folder, maps=maps, names=names)
    return RecordingSet("coco_panoptic", split, root, LazyRecordings(make, photos), names, things, path)


def make_recording(photo: tuple[int, MappedFrame], *, folder: Path, maps: Path, names: dict[int, str]) -> Recording:
    """The recording of a photo, given with its official id."""
    key, frame = photo
    files = inside(folder, frame.file), inside(maps, frame.map)
    return mapped_recording(Path(frame.file).with_suffix("").as_posix(), key, [frame], files[:1], files[1:], names)


def write(samples: Iterable[VideoSample], root: Path, split: str) -> None:
    """Writes every frame of the clips as a photo. Raises UserError for clips without a panoptic map."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for sample in samples:
        for t, frame in enumerate(sample.frames):
            number = len(images) + 1
            keys, segments = segments_to_write(sample, t, 1)
            photo, png = f"{number:012d}.jpg", f"{number:012d}.png"
            write_picture(root / PHOTOS[0].format(split) / photo, frame)
            write_keys(root / MAPS[0].format(split) / png, keys)
            images.append({"id": number, "file_name": photo, "height": keys.shape[0], "width": keys.shape[1]})
            annotations.append({"image_id": number, "file_name": png, "segments_info": segments})
    categories = categories_to_write(class_ids(), colours=False)
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
    write_json(root / FILE.format(split), content)


class PanopticImages(PanopticAnswers):
    """Answers as pred/FRAME.png and pred.json beside it."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        super().__init__(folder, data)
        self._images = folder / "pred"

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        entries: list[dict[str, Any]] = []

        def take(result: FrameResult) -> None:
            write_keys(self._images / frame_file(recording, result.frame_index), result.labels)
            pixels = pixels_of(result.labels)
            entries.append(self.listed(recording, result.frame_index, recording.key, pixels, result.names))

        yield take
        self.keep(recording, entries)

    def has(self, recording: Recording) -> bool:
        return super().has(recording) and (self._images / frame_file(recording, 0)).is_file()


def truth(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """For the scorer: truth.json and the folder truth of its PNG."""
    if data.file is None:
        return None
    content = read_json(data.file, data.name, ("annotations", "categories"))
    keys = {recording.key for recording in recordings}
    rows = [row for row in content["annotations"] if row["image_id"] in keys]
    write_json(folder / "truth.json", {**content, "annotations": rows})
    link(folder / "truth", data.file.with_name(data.file.name.split(".json")[0]))
    return folder / "truth.json"
