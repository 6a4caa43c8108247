"""Label maps as files, one kind of folder for each kind of answer; memory use does not depend on the video."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from univs.files import atomic_path
from univs.masks.mask_files import write_objects
from univs.results import FrameResult, TrackSpool, write_json_array
from univs.video.pictures import write_picture


class LabelFiles(Protocol):
    """Writes the labels of each frame as they come."""

    def add(self, result: FrameResult) -> None:
        """Write those of the next frame."""
        ...

    def finish(self, spool: TrackSpool) -> None:
        """Write what describes all frames."""
        ...


class MaskFiles:
    """masks/00000.png ...: indexed by object id, of 16 bits where one is above 254 (`write_objects`).

    Of an expression's objects also masks/ID/00000.png, binary.
    """

    def __init__(self, folder: Path, *, each_apart: bool = False) -> None:
        self._folder, self._each_apart = folder / "masks", each_apart
        self._folder.mkdir(parents=True, exist_ok=True)

    def add(self, result: FrameResult) -> None:
        name = f"{result.frame_index:05d}.png"
        write_objects(self._folder / name, result.labels)
        for object_id in result.object_ids if self._each_apart else ():
            write_picture(self._folder / str(object_id) / name, result.mask(object_id))

    def finish(self, spool: TrackSpool) -> None:
        """The files of the frames say all."""


class SemanticFiles:
    """semantic/00000.png ...: indexed by class, from 1, 0 where there is none; categories.json beside them: names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "semantic"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._names: dict[int, str] = {}

    def add(self, result: FrameResult) -> None:
        self._names.update(result.names)
        write_objects(self._folder / f"{result.frame_index:05d}.png", result.labels)

    def finish(self, spool: TrackSpool) -> None:
        names = [{"id": number, "name": name} for number, name in sorted(self._names.items())]
        with atomic_path(self._folder / "categories.json") as temporary:
            temporary.write_text(json.dumps(names, indent=1), encoding="utf-8")


class PanopticFiles:
    """panoptic/00000.png ... and panoptic.json beside them, as in COCO: a pixel's segment is R + 256 G + 65536 B."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "panoptic"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lines = self._folder / "annotations.part"  # one line for each frame, until the end
        self._lines.write_text("", encoding="utf-8")
        self._categories: dict[str, dict[str, Any]] = {}

    def add(self, result: FrameResult) -> None:
        name = f"{result.frame_index:05d}.png"
        write_picture(self._folder / name, color_coded(result.labels))
        for number, category in result.names.items():
            isthing = int(number not in result.stuff)
            entry = {"id": len(self._categories) + 1, "name": category, "isthing": isthing}
            self._categories.setdefault(category, entry)
        ids = {number: self._categories[category]["id"] for number, category in result.names.items()}
        annotation = {
            "image_id": result.frame_index,
            "file_name": name,
            "segments_info": segments_info(result.labels, ids),
        }
        with open(self._lines, "a", encoding="utf-8") as file:
            file.write(json.dumps(annotation) + "\n")

    def finish(self, spool: TrackSpool) -> None:
        with (
            atomic_path(self._folder / "panoptic.json") as temporary,
            open(temporary, "w", encoding="utf-8") as file,
            open(self._lines, encoding="utf-8") as lines,
        ):
            file.write(f'{{"categories": {json.dumps(list(self._categories.values()))},\n"annotations": ')
            write_json_array(file, (json.loads(line) for line in lines))
            file.write("}\n")
        self._lines.unlink()


def color_coded(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """H W numbers below 2^24 -> H W 3, the lowest byte first."""
    return np.stack([labels >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)


def segments_info(labels: NDArray[Any], categories: Mapping[int, int]) -> list[dict[str, Any]]:
    """COCO's description of the segments that are in a map: id, category_id, area, bbox (x, y, width, height)."""
    entries = []
    for number in np.unique(labels[labels != 0]):
        y, x = np.nonzero(labels == number)
        box = [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1]
        entries.append(
            {"id": int(number), "category_id": categories[int(number)], "area": len(x), "bbox": box, "iscrowd": 0}
        )
    return entries


def label_files(kind: str, folder: Path) -> LabelFiles:
    """The writer for a task's kind of labels (`Task.labels`)."""
    match kind:
        case "semantic":
            return SemanticFiles(folder)
        case "panoptic":
            return PanopticFiles(folder)
        case _:
            return MaskFiles(folder, each_apart=kind == "expressions")
