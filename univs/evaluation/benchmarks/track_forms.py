"""Answers as tracks, masks run-length encoded: results.json of YouTube-VIS and BURST, text files of KITTI-MOTS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from univs.evaluation.benchmarks.asking import ClassNames
from univs.evaluation.benchmarks.form import Parts, Take
from univs.files import atomic_path
from univs.formats import Recording, RecordingSet
from univs.formats.files import inside
from univs.results import FrameResult, TrackSpool


class Tracks:
    """results.json: a list of video_id, category_id, score and a mask per frame (YouTube-VIS, OVIS)."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        self.pred = folder / "results.json"
        self._names = ClassNames.of(data)
        self._parts = Parts(folder.with_name("parts"))

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        with TrackSpool() as spool:
            yield spool.append
            self._parts.write(recording, self._entries(recording, spool))

    def has(self, recording: Recording) -> bool:
        return self._parts.has(recording)

    def finish(self, recordings: Sequence[Recording]) -> None:
        self._parts.assemble(recordings, self.pred)

    def _entries(self, recording: Recording, spool: TrackSpool) -> Iterator[dict[str, Any]]:
        for track in spool.tracks():
            if track.label is not None and any(rle is not None for rle in track.segmentations):
                yield {
                    "video_id": recording.key,
                    "category_id": self._names.id_of(track.label, recording.name),
                    "score": track.score,
                    "segmentations": list(track.segmentations),
                }


class GivenTracks:
    """results.json of sequences with the masks of given tracks on the annotated frames (BURST)."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        self.pred = folder / "results.json"
        self._split = data.split
        self._numbers = {name: number for number, name in data.classes.items()}
        self._parts = Parts(folder.with_name("parts"))

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        dataset, _, name = recording.name.rpartition("/")
        sequence: dict[str, Any] = {"dataset": dataset, "seq_name": name, "annotated_image_paths": []}
        found: list[dict[str, Any]] = []

        def take(result: FrameResult) -> None:
            sequence["height"], sequence["width"] = result.labels.shape
            sequence["annotated_image_paths"].append(recording.frames[result.frame_index].name)
            rles = {number: result.rle(number) for number in result.object_ids}
            found.append({str(number): {"rle": rle["counts"]} for number, rle in rles.items() if rle is not None})

        yield take
        classes = {str(number): self._numbers[recording.categories[number]] for number in sorted(recording.shown)}
        self._parts.write(recording, [{**sequence, "track_category_ids": classes, "segmentations": found}])

    def has(self, recording: Recording) -> bool:
        return self._parts.has(recording)

    def finish(self, recordings: Sequence[Recording]) -> None:
        self._parts.assemble(recordings, self.pred, f'{{"split": "{self._split}", "sequences": ', "}\n")


class TrackLines:
    """data/SEQUENCE.txt, lines of `frame id class height width rle` whose masks do not overlap (KITTI-MOTS)."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        self.pred = folder
        self._names = ClassNames.of(data)

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        with TrackSpool() as spool:

            def take(result: FrameResult) -> None:
                spool.append(replace(result, separate=None))  # in the labels the better of two masks has the pixel

            yield take
            path = self._path(recording)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                temporary.write_text("".join(f"{line}\n" for line in self._lines(recording, spool)), encoding="utf-8")

    def has(self, recording: Recording) -> bool:
        return self._path(recording).is_file()

    def finish(self, recordings: Sequence[Recording]) -> None:
        """Every file is of one video."""

    def _lines(self, recording: Recording, spool: TrackSpool) -> list[str]:
        """Frame by frame; instance k of class c has the id 1000 c + k."""
        lines: list[tuple[int, str]] = []
        instances: Counter[int] = Counter()
        for track in spool.tracks():
            if track.label is None:
                continue
            category = self._names.id_of(track.label, recording.name)
            number = 1000 * category + instances[category]
            instances[category] += 1
            for index, rle in enumerate(track.segmentations):
                if rle is not None:
                    frame, (height, width) = int(recording.frames[index].stem), rle["size"]
                    lines.append((frame, f"{frame} {number} {category} {height} {width} {rle['counts']}"))
        return [line for _, line in sorted(lines, key=lambda pair: pair[0])]

    def _path(self, recording: Recording) -> Path:
        return inside(self.pred / "data", f"{recording.name}.txt")
