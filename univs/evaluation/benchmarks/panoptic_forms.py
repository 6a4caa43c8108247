"""Answers as panoptic PNG (id = R + 256 G + 65536 B) and the JSON that lists their segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from univs.evaluation.benchmarks.asking import ClassNames
from univs.evaluation.benchmarks.form import Parts, Take, atomic_folders
from univs.evaluation.benchmarks.mask_forms import frame_file
from univs.formats import Recording, RecordingSet
from univs.formats.files import inside, write_image
from univs.results import FrameResult


class PanopticVideos:
    """pan_pred/VIDEO/FRAME.png and pred.json (VIPSeg)."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        self.pred = folder
        self._segments = Segments(data)
        self._parts = Parts(folder.with_name("parts"))

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        frames: list[tuple[int, dict[int, int]]] = []
        names: dict[int, str] = {}
        with atomic_folders([inside(self.pred / "pan_pred", recording.name)]) as (folder,):

            def take(result: FrameResult) -> None:
                write_image(folder / frame_file(recording, result.frame_index), to_colours(result.labels))
                frames.append((result.frame_index, pixels_of(result.labels)))
                names.update(result.names)

            yield take
        annotations = [
            {
                "file_name": frame_file(recording, index),
                "image_id": recording.frames[index].stem,
                "segments_info": self._segments.listed(recording, pixels, names),
            }
            for index, pixels in frames
        ]
        video = recording.name if recording.key is None else recording.key
        self._parts.write(recording, [{"video_id": video, "annotations": annotations}])

    def has(self, recording: Recording) -> bool:
        return self._parts.has(recording) and (self.pred / "pan_pred" / recording.name).is_dir()

    def finish(self, recordings: Sequence[Recording]) -> None:
        self._parts.assemble(recordings, self.pred / "pred.json", '{"annotations": ', "}\n")


class PanopticImages:
    """pred/FRAME.png and pred.json beside it (COCO panoptic)."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        self.pred = folder / "pred.json"
        self._segments = Segments(data)
        self._images = folder / "pred"
        self._parts = Parts(folder.with_name("parts"))

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        entries: list[dict[str, Any]] = []

        def take(result: FrameResult) -> None:
            name = frame_file(recording, result.frame_index)
            write_image(self._images / name, to_colours(result.labels))
            listed = self._segments.listed(recording, pixels_of(result.labels), result.names)
            entries.append({"image_id": recording.key, "file_name": name, "segments_info": listed})

        yield take
        self._parts.write(recording, entries)

    def has(self, recording: Recording) -> bool:
        return self._parts.has(recording) and (self._images / frame_file(recording, 0)).is_file()

    def finish(self, recordings: Sequence[Recording]) -> None:
        self._parts.assemble(recordings, self.pred, '{"annotations": ', "}\n")


class Segments:
    """What the JSON says about the segments of a frame."""

    def __init__(self, data: RecordingSet) -> None:
        self._names, self._things = ClassNames.of(data), data.things

    def listed(self, recording: Recording, pixels: Mapping[int, int], names: Mapping[int, str]) -> list[dict[str, Any]]:
        """One entry per segment. UserError for a segment of a class that was not asked for."""
        ids = {number: self._names.id_of(names[number], recording.name) for number in pixels}
        return [
            {
                "id": number,
                "category_id": ids[number],
                "isthing": int(ids[number] in self._things),
                "iscrowd": 0,
                "area": area,
            }
            for number, area in pixels.items()
        ]


def to_colours(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """H W 3 of H x W ids below 2**24."""
    numbers = labels.astype(np.uint32)
    return np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16 & 255], -1).astype(np.uint8)


def pixels_of(labels: NDArray[Any]) -> dict[int, int]:
    """Id -> how many pixels have it, without 0."""
    numbers, counts = np.unique(labels, return_counts=True)
    return {int(number): int(count) for number, count in zip(numbers, counts, strict=True) if number}
