"""SA-1B: folders of photos `sa_N.jpg`, each with the masks of everything on it, without names, in `sa_N.json`."""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import overload

from univs.errors import UserError
from univs.formats.files import expecting, read_json, write_json
from univs.formats.lazy import LazyRecordings
from univs.formats.painting import number_objects, paint, written
from univs.formats.recording import FrameLabels, Recording, RecordingSet
from univs.formats.sample import VideoSample
from univs.video.pictures import write_picture

PHOTO = re.compile(r"sa_(\d+)\.jpg")
FOLDER = "sa_{:06d}"
IN_A_FOLDER = 11_186
"""Photos in a folder as the makers hand them out (11,185,362 in 1,000 archives)."""
FIELDS = "image: [width, height], annotations: [segmentation, area]"


class PhotoNumbers(Sequence[tuple[str, int]]):
    """Folder and number of every photo; eight bytes each, because there are eleven million."""

    def __init__(self, folders: list[str], numbers: list[array[int]]) -> None:
        self._folders, self._numbers = folders, numbers
        self._ends: list[int] = []
        for part in numbers:
            self._ends.append(len(part) + (self._ends[-1] if self._ends else 0))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> tuple[str, int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[str, int]]: ...
    def __getitem__(self, index: int | slice) -> tuple[str, int] | list[tuple[str, int]]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"photo {index} of {len(self)}")
        place = index % len(self)
        part = bisect_right(self._ends, place)
        return self._folders[part], self._numbers[part][place - self._ends[part]]


def read(root: Path, split: str) -> RecordingSet:
    """All photos, in the folders `sa_000000` ... or in `root` itself. Raises UserError if there is none."""
    homes = [".", *sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name.startswith("sa_"))]
    numbers = [list_photos(root / home) for home in homes]
    photos = PhotoNumbers(homes, numbers)
    if not photos:
        raise UserError(f"SA-1B: no photo {root}/sa_000000/sa_1.jpg (nor any other sa_*.jpg there or in {root})")
    return RecordingSet("sa1b", split, root, LazyRecordings(partial(make_recording, root=root), photos))


def list_photos(folder: Path) -> array[int]:
    """The numbers of the photos in a folder, ascending."""
    with os.scandir(folder) as entries:
        return array("q", sorted(int(found[1]) for entry in entries if (found := PHOTO.fullmatch(entry.name))))


def make_recording(photo: tuple[str, int], *, root: Path) -> Recording:
    """The recording of a photo."""
    home, number = photo
    path = root / home / f"sa_{number}.jpg"
    masks = path.with_suffix(".json")
    return Recording(f"sa_{number}", (path,), (0,), partial(label_photo, path=masks), label_files=(masks,), key=number)


def label_photo(index: int, *, path: Path) -> FrameLabels:
    """The masks of a photo, numbered from 1 in the order of the file; the 254 largest, the others are 255."""
    content = read_json(path, "SA-1B", ("image", "annotations"))
    with expecting(path, FIELDS):
        size = (int(content["image"]["height"]), int(content["image"]["width"]))
        sizes = [float(row.get("area", 0)) for row in content["annotations"]]
        masks = [row["segmentation"] for row in content["annotations"]]
    ids = number_objects(sizes, [False] * len(masks))
    return FrameLabels(paint(masks, ids, size, lambda k: f"{path}, annotation {k}"))


def write(samples: Iterable[VideoSample], root: Path, split: str) -> None:
    """Writes every frame of the clips as a photo with the masks of its objects."""
    number = annotation = 0
    for sample in samples:
        for frame, labels in zip(sample.frames, sample.labels, strict=True):
            number += 1
            path = root / FOLDER.format((number - 1) // IN_A_FOLDER) / f"sa_{number}.jpg"
            masks = [labels == one for one in sample.object_ids() if (labels == one).any()]
            rows = []
            for mask in masks:
                annotation += 1
                y, x = (int(places[0]) for places in mask.nonzero())
                rows.append(
                    {
                        "id": annotation,
                        **written(mask),
                        "crop_box": [0, 0, labels.shape[1], labels.shape[0]],
                        "point_coords": [[x, y]],
                        "predicted_iou": 1.0,
                        "stability_score": 1.0,
                    }
                )
            image = {"image_id": number, "width": labels.shape[1], "height": labels.shape[0], "file_name": path.name}
            write_picture(path, frame)
            write_json(path.with_suffix(".json"), {"image": image, "annotations": rows})
