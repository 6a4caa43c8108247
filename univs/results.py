"""What is answered: the masks of one frame, the tracks of a video; run-length encoding (univs.masks reads it).

An RLE is COCO's: `{"size": [height, width], "counts": "..."}` with the compressed counts as text.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.files import atomic_path

if TYPE_CHECKING:
    from typing_extensions import Self


class RLE(TypedDict):
    """A run-length encoded mask; `size` is [height, width] in pixels."""

    size: list[int]
    counts: str


Corners = Sequence[tuple[float, float]]
"""x, y of the corners of a quadrilateral in turn."""


def encode_rle(mask: NDArray[Any]) -> RLE:
    """The RLE of an H x W mask (non-zero is inside)."""
    from pycocotools import mask as coco

    encoded = coco.encode(np.asfortranarray(np.asarray(mask) != 0, dtype=np.uint8))
    return {"size": [int(value) for value in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


@dataclass(frozen=True)
class Alternative:
    """Another mask that a prompt may have meant: H x W, and how well it is thought to fit, an IoU 0..1."""

    mask: NDArray[np.bool_]
    quality: float


@dataclass(frozen=True)
class FrameResult:
    """The answer for one frame.

    labels: H x W object ids at the frame's own size, 0 where there is none. object_ids: the objects followed at this
    frame, whether visible or not. scores: object id -> confidence 0..1 of this frame. separate: object id -> H x W
    mask, where objects may overlap; None where the labels say it all. names: object id -> category or expression.
    track_scores: object id -> confidence in the whole track so far, where the task judges tracks; the last one counts.
    stuff: the object ids that stand for stuff (sky, grass), not for a thing. alternatives: object id -> what its prompt
    on this frame may have meant instead, the likeliest first; to follow one of them, show its mask. rotated_boxes:
    object id -> the four corners, x and y in pixels of the frame, of the box around the object, where a tracker gives
    boxes that may be turned; an object may have one without a visible pixel.
    """

    frame_index: int
    labels: NDArray[Any]
    object_ids: tuple[int, ...]
    scores: Mapping[int, float] = field(default_factory=dict)
    separate: Mapping[int, NDArray[np.bool_]] | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    track_scores: Mapping[int, float] = field(default_factory=dict)
    stuff: frozenset[int] = frozenset()
    alternatives: Mapping[int, Sequence[Alternative]] = field(default_factory=dict)
    rotated_boxes: Mapping[int, Corners] = field(default_factory=dict)

    def mask(self, object_id: int) -> NDArray[np.bool_]:
        """H x W mask of one object, empty where it is not visible. Raises KeyError if the object is not followed."""
        if object_id not in self.object_ids:
            raise KeyError(f"object {object_id} is not followed at frame {self.frame_index}")
        return np.asarray(self.labels == object_id if self.separate is None else self.separate[object_id], dtype=bool)

    def rle(self, object_id: int) -> RLE | None:
        """RLE of the object's mask, None where it is not visible."""
        mask = self.mask(object_id)
        return encode_rle(mask) if mask.any() else None


@dataclass(frozen=True)
class Track:
    """One object over time: an RLE for each frame of the video, None where it is absent.

    score: mean confidence over the frames in which it is visible. label: best category or expression, if any was asked.
    rotated_boxes: for each frame the corners of its box, None where there is none; None if no result had any.
    """

    object_id: int
    score: float
    segmentations: Sequence[RLE | None]
    label: str | None = None
    rotated_boxes: Sequence[Corners | None] | None = None


@dataclass(frozen=True)
class VideoResult:
    """The tracks of a video of num_frames frames of height x width pixels.

    rest: the results that became final only when the video had ended (clips of several frames), in order.
    """

    height: int
    width: int
    num_frames: int
    tracks: Sequence[Track]
    rest: Sequence[FrameResult] = ()

    def to_json(self) -> list[dict[str, Any]]:
        """Entries in the style of the YouTube-VIS results file, one for each track."""
        return [_track_entry(track, self.height, self.width) for track in self.tracks]

    @classmethod
    def from_json(cls, entries: Sequence[Mapping[str, Any]]) -> VideoResult:
        """The inverse of `to_json` for one video. Raises UserError for entries that lack a key or differ in size."""
        try:
            sizes = {(int(e["height"]), int(e["width"]), len(e["segmentations"])) for e in entries}
            tracks = tuple(
                Track(
                    *(int(e["object_id"]), float(e["score"]), tuple(e["segmentations"]), e["label"]),
                    _corners(e.get("rotated_boxes"), len(e["segmentations"])),
                )
                for e in entries
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"not a univs results file: an entry lacks or garbles {error}") from None
        if len(sizes) > 1:
            raise UserError(f"the entries of one video differ in height, width or length: {sorted(sizes)}")
        height, width, num_frames = sizes.pop() if sizes else (0, 0, 0)
        return cls(height, width, num_frames, tracks)


def _corners(boxes: Any, frames: int) -> Sequence[Corners | None] | None:
    """The boxes of a track as a file holds them. ValueError for what is none."""
    if boxes is None:
        return None
    if len(boxes) != frames or any(box is not None and [len(point) for point in box] != [2] * 4 for box in boxes):
        raise ValueError("'rotated_boxes': four corners or null for each frame")
    return tuple(box and tuple((float(x), float(y)) for x, y in box) for box in boxes)


def _track_entry(track: Track, height: int, width: int) -> dict[str, Any]:
    boxes = {} if track.rotated_boxes is None else {"rotated_boxes": list(track.rotated_boxes)}
    return {
        "video_id": 1,
        "object_id": track.object_id,
        "category_id": None,
        "label": track.label,
        "score": track.score,
        "height": height,
        "width": width,
        "segmentations": list(track.segmentations),
        **boxes,
    }


ABSENT = "-"
"""Counts of a mask without a pixel; no RLE has such a character."""


class TrackSpool:
    """Collects the results of a video on disk, so that memory does not grow with its length, and gives back its tracks.

    Each visible mask is one line of an anonymous temporary file: object id, frame index, RLE counts, and the rotated
    box as JSON if there is one; a box without a visible mask has "-" for its counts. Kept in memory: a few numbers for
    each object. A context manager; closing it deletes the file.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """folder: where the temporary file lives; the system's temporary folder if None."""
        self._file = tempfile.TemporaryFile("w+", encoding="ascii", dir=folder)  # noqa: SIM115 (closed by close)
        self._totals: dict[int, tuple[float, int]] = {}  # id -> (sum of scores, frames in which it is visible)
        self._names: dict[int, str] = {}
        self._track_scores: dict[int, float] = {}
        self._boxed = False
        self._size = (0, 0)
        self.num_frames = 0

    def append(self, result: FrameResult) -> None:
        """Take in the result of one frame; frames come in order."""
        height, width = result.labels.shape
        self._size = (height, width)
        self.num_frames = result.frame_index + 1
        self._names.update(result.names)
        self._track_scores.update(result.track_scores)
        for object_id in result.object_ids:
            total, count = self._totals.get(object_id, (0.0, 0))
            rle, box = result.rle(object_id), result.rotated_boxes.get(object_id)
            if rle is not None or box is not None:
                counts = ABSENT if rle is None else rle["counts"]
                corners = "" if box is None else json.dumps(box, separators=(",", ":"))
                self._file.write(f"{object_id} {result.frame_index} {counts} {corners}\n")
                self._boxed |= box is not None
            if rle is not None:
                total, count = total + float(result.scores.get(object_id, 1.0)), count + 1
            self._totals[object_id] = (total, count)

    def scores(self) -> dict[int, float]:
        """Object id -> score of its track, ids ascending.

        Where the results give no score of the track it is the mean confidence over the frames in which it is visible, 0
        if there is none.
        """
        means = {key: total / count if count else 0.0 for key, (total, count) in sorted(self._totals.items())}
        return {key: self._track_scores.get(key, mean) for key, mean in means.items()}

    def visible_frames(self) -> dict[int, int]:
        """Object id -> number of frames in which it is visible, ids ascending."""
        return {key: count for key, (_, count) in sorted(self._totals.items())}

    def tracks(self) -> Iterator[Track]:
        """The tracks in the order of their ids, each made when asked for."""
        self._file.flush()
        for object_id, score in self.scores().items():
            segmentations: list[RLE | None] = [None] * self.num_frames
            boxes: list[Corners | None] = [None] * self.num_frames
            prefix = f"{object_id} "
            self._file.seek(0)
            for line in self._file:
                if line.startswith(prefix):
                    _, frame_index, counts, *corners = line.split()
                    if counts != ABSENT:
                        segmentations[int(frame_index)] = {"size": list(self._size), "counts": counts}
                    if corners:
                        boxes[int(frame_index)] = tuple((x, y) for x, y in json.loads(corners[0]))
            yield Track(object_id, score, segmentations, self._names.get(object_id), boxes if self._boxed else None)
        self._file.seek(0, os.SEEK_END)

    def result(self) -> VideoResult:
        """Everything collected so far, in memory."""
        height, width = self._size
        return VideoResult(height, width, self.num_frames, tuple(self.tracks()))

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Write what `VideoResult.to_json` would give, one track at a time; the file appears whole or not at all."""
        with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            write_json_array(file, (_track_entry(track, *self._size) for track in self.tracks()))

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_json_array(file: Any, entries: Iterable[Mapping[str, Any]]) -> None:
    """Write entries as a JSON array, one entry a line, without holding them together."""
    file.write("[")
    for number, entry in enumerate(entries):
        file.write(("\n" if number == 0 else ",\n") + json.dumps(entry))
    file.write("\n]\n")
