"""Panoptic PNG as COCO and VIPSeg have them: the id of a segment is its colour, R + 256 G + 65536 B, 0 is void."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from univs.errors import UserError
from univs.fields import flag, whole
from univs.formats.answer_writer import JsonAnswers, frame_file
from univs.formats.class_names import ClassNames
from univs.formats.painting import box_of, number_objects
from univs.formats.recording import FrameLabels, Recording, RecordingSet
from univs.formats.sample import IGNORE, VideoSample
from univs.formats.synth_classes import class_of, thing_ids
from univs.masks.mask_files import read_codes
from univs.video.pictures import write_picture


class Segment(NamedTuple):
    """A segment as a file lists it: its id there, its class, whether that is a thing, its pixels, if it is a crowd."""

    key: int
    category: int
    thing: bool
    area: float
    crowd: bool = False


def segments_of(row: Mapping[str, Any], things: frozenset[int], names: Mapping[int, str]) -> list[Segment]:
    """The segments of a frame. Raises KeyError and the like for entries that do not fit."""
    found = []
    for one in row["segments_info"]:
        category = whole(one["category_id"])
        if category not in names:
            raise ValueError(f"segment {one['id']} has the unknown category {category}")
        crowd, key = flag(one.get("iscrowd")), whole(one["id"])
        if not 0 <= key < 2**24:
            raise ValueError(f"segment {key} has no colour: ids are R + 256 G + 65536 B")
        found.append(Segment(key, category, category in things, float(one.get("area", 0)), crowd))
    return found


@dataclass(frozen=True)
class OurSegments:
    """The segments of a photo or a video under our ids.

    ids: id of the file -> ours: things from 1, then stuff, each in the order given; 255 as `number_objects` says.
    categories, stuff: our ids -> names, of things and of stuff, ascending.
    """

    ids: Mapping[int, int]
    categories: dict[int, str]
    stuff: dict[int, str]

    @classmethod
    def of(cls, segments: Iterable[Segment], names: Mapping[int, str]) -> OurSegments:
        """A segment that is given several times (on several frames) has its place by the first, and the sum of their
        pixels. names: of the classes."""
        first: dict[int, Segment] = {}
        for one in segments:
            known = first.get(one.key)
            first[one.key] = one if known is None else known._replace(area=known.area + one.area)
        ordered = sorted(first.values(), key=lambda one: not one.thing)
        numbers = number_objects([one.area for one in ordered], [one.crowd for one in ordered])
        named = [(number, one) for number, one in zip(numbers, ordered, strict=True) if number != IGNORE]
        return cls(
            {one.key: number for one, number in zip(ordered, numbers, strict=True)},
            {number: names[one.category] for number, one in named if one.thing},
            {number: names[one.category] for number, one in named if not one.thing},
        )

    def labels(self, keys: np.ndarray, listed: Collection[int] | None = None) -> FrameLabels:
        """The labels of a frame by the ids of its file, H W; 255 where an id is void, or not one of those listed."""
        known = np.array(sorted(self.ids if listed is None else listed), np.int64)
        if not len(known):
            return labels_of(np.full(keys.shape, IGNORE, np.uint8), ())
        ours = np.array([self.ids[key] for key in known.tolist()], np.uint8)
        places = np.searchsorted(known, keys).clip(max=len(known) - 1)
        return labels_of(np.where(known[places] == keys, ours[places], np.uint8(IGNORE)), self.stuff)


class MappedFrame(NamedTuple):
    """A frame and its panoptic map as a file names them, their size (H, W), and what the map holds."""

    file: str
    map: str
    size: tuple[int, int]
    segments: list[Segment]


def mapped_recording(
    name: str,
    key: int | str,
    frames: Sequence[MappedFrame],
    pictures: tuple[Path, ...],
    maps: tuple[Path, ...],
    names: Mapping[int, str],
) -> Recording:
    """The recording of a video (or photo) all of whose frames have a map. names: of the classes."""
    segments = OurSegments.of([segment for frame in frames for segment in frame.segments], names)
    return Recording(
        name=name,
        frames=pictures,
        annotated=tuple(range(len(frames))),
        labels=partial(_read_map, frames=frames, maps=maps, segments=segments),
        label_files=maps,
        key=key,
        categories=segments.categories,
        stuff=segments.stuff,
        complete=True,
    )


def _read_map(index: int, *, frames: Sequence[MappedFrame], maps: Sequence[Path], segments: OurSegments) -> FrameLabels:
    """The labels of a frame. Raises UserError for a map that cannot be read or does not fit."""
    listed = {segment.key for segment in frames[index].segments}
    return segments.labels(read_keys(maps[index], frames[index].size), listed)


def labels_of(panoptic: np.ndarray, stuff: Iterable[int]) -> FrameLabels:
    """The labels of a frame whose panoptic map, H W uint8, has stuff under these ids."""
    return FrameLabels(np.where(np.isin(panoptic, list(stuff)), np.uint8(0), panoptic), panoptic)


def read_keys(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The ids of a PNG in colours, H W uint32. Raises UserError for any other file and for another size."""
    keys = read_codes(path)
    if keys.shape != size:
        height, width = keys.shape
        raise UserError(f"{path} is {width}x{height} pixels, its entry says {size[1]}x{size[0]}")
    return keys


def write_keys(path: Path, keys: np.ndarray) -> None:
    """Writes ids, H W, as a PNG in colours."""
    write_picture(path, np.stack([keys >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8))


def segments_to_write(sample: VideoSample, t: int, first_class: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The ids of a frame, H W uint32, and its segments_info, stuff first; classes are SynthVS's from `first_class` on.

    Raises UserError where the clip has no panoptic map or names that are not of SynthVS.
    """
    if sample.panoptic is None:
        raise UserError(f"{sample.name} has no panoptic map")
    panoptic = sample.panoptic[t]
    table = np.zeros(256, np.uint32)
    rows: list[dict[str, Any]] = []
    for number in np.unique(panoptic).tolist():
        if number not in (0, IGNORE):
            category, mask = class_of(sample, number, first_class), panoptic == number
            table[number] = (category + 1) << 8 | number
            info = {"id": int(table[number]), "category_id": category, "area": int(mask.sum()), "bbox": box_of(mask)}
            rows.append({**info, "iscrowd": 0})
    return table[panoptic], sorted(rows, key=lambda row: (row["id"] & 255) not in sample.stuff)


def categories_to_write(classes: Mapping[str, int], colours: bool) -> list[dict[str, Any]]:
    """The categories of a panoptic file; with a colour each, as VIPSeg has them."""
    things = thing_ids()
    rows: list[dict[str, Any]] = [
        {"id": number, "name": name, "isthing": int(name in things)} for name, number in classes.items()
    ]
    for row in rows if colours else ():
        row["color"] = [(37 * row["id"] + 1) % 256, (91 * row["id"] + 2) % 256, (157 * row["id"] + 3) % 256]
    return rows


def things_in(content: Mapping[str, Any] | Sequence[Any]) -> tuple[dict[int, str], frozenset[int]]:
    """Names of the categories of a file (or of a list of them), and which are things."""
    rows = content["categories"] if isinstance(content, Mapping) else content
    names = {int(row["id"]): str(row["name"]) for row in rows}
    return names, frozenset(int(row["id"]) for row in rows if row["isthing"])


class PanopticAnswers(JsonAnswers):
    """Answers as PNG of colours and pred.json, which lists the segments of each."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        super().__init__(folder, "pred.json", '{"annotations": ', "}\n")
        self._names, self._things = ClassNames.of(data), data.things

    def listed(
        self,
        recording: Recording,
        index: int,
        image: int | str | None,
        pixels: Mapping[int, int],
        names: Mapping[int, str],
    ) -> dict[str, Any]:
        """The entry of a frame, `image`. UserError for a segment of a class that was not asked for.

        pixels: how many each of its segments has. names: of the segments.
        """
        ids = {number: self._names.id_of(names[number], recording.name) for number in pixels}
        segments = [
            {
                "id": number,
                "category_id": ids[number],
                "isthing": int(ids[number] in self._things),
                "iscrowd": 0,
                "area": area,
            }
            for number, area in pixels.items()
        ]
        return {"file_name": frame_file(recording, index), "image_id": image, "segments_info": segments}


def pixels_of(labels: np.ndarray) -> dict[int, int]:
    """Id -> how many pixels have it, without 0."""
    numbers, counts = np.unique(labels, return_counts=True)
    return {int(number): int(count) for number, count in zip(numbers, counts, strict=True) if number}
