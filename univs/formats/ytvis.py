"""YouTube-VIS 2019 and 2021, and OVIS: videos whose tubes of masks lie in one JSON per split.

The styles differ in where that file lies and in how frames are named; the others' spellings are accepted when reading.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from univs.errors import UserError
from univs.fields import flag, whole
from univs.formats.answer_writer import JsonAnswers, Take
from univs.formats.boxes import FrameBoxes, box_of_corner
from univs.formats.class_names import ClassNames
from univs.formats.files import distinct_names, expecting, first_file, folder_holding, inside, read_json, write_json
from univs.formats.label_maps import video_name
from univs.formats.lazy import LazyRecordings
from univs.formats.painting import box_of, compact, number_objects, paint, run_lengths
from univs.formats.recording import FrameLabels, Recording, RecordingSet
from univs.formats.sample import IGNORE, VideoSample
from univs.formats.synth_classes import class_of, thing_ids
from univs.formats.truth_files import part_of
from univs.results import TrackSpool, encode_rle
from univs.video.pictures import write_picture

FIELDS = "videos: [id, file_names, height, width], annotations: [video_id, category_id, segmentations], categories"


class Style(NamedTuple):
    """Where a set has its JSON and its folders of frames, what a frame is called, and how masks are written."""

    title: str
    file: str
    folder: str
    frame: Callable[[int], str]
    encode: Callable[[np.ndarray], Mapping[str, Any]]


STYLES = {
    "2019": Style("YouTube-VIS 2019", "{}.json", "{}/JPEGImages", lambda t: f"{5 * t:05d}.jpg", run_lengths),
    "2021": Style("YouTube-VIS 2021", "{}/instances.json", "{}/JPEGImages", lambda t: f"{5 * t:05d}.jpg", run_lengths),
    "ovis": Style("OVIS", "annotations_{}.json", "{}", lambda t: f"img_{t + 1:07d}.jpg", encode_rle),
}
OTHER_FILES = (
    "{0}/{0}.json",
    "annotations/{}.json",
    "annotations/instances_{}.json",
    "annotations/annotations_{}.json",
)
FOLDERS = ("{}/JPEGImages", "{}", "JPEGImages/{}", "JPEGImages")


class Tube(NamedTuple):
    """An annotated object: its class, its mean area where it is seen, and a mask per frame as the file has it."""

    category: int
    crowd: bool
    area: float
    masks: list[Any] | None
    """None where the file has boxes alone."""
    boxes: list[Any] | None
    """Boxes as the file has them, checked where they are used; None where the file has masks alone."""


class Video(NamedTuple):
    """An entry of the file."""

    key: int
    files: list[str]
    size: tuple[int, int]
    tubes: list[Tube]


def read(root: Path, split: str, *, style: str) -> RecordingSet:
    """A split; its videos are not annotated where the file has no annotations (those of the servers).

    Objects of a video are numbered from 1 in the order of the file.
    """
    chosen = STYLES[style]
    files = dict.fromkeys((chosen.file, *(other.file for other in STYLES.values()), *OTHER_FILES))
    path = first_file(root, [name.format(split) for name in files], chosen.title)
    content = read_json(path, chosen.title, ("videos", "categories"))
    with expecting(path, FIELDS):
        names = {whole(row["id"]): str(row["name"]) for row in content["categories"]}
        videos = list_videos(content, path)
    called = tuple(zip(video_names(videos), videos, strict=True))
    folders = [name.format(split) for name in dict.fromkeys((chosen.folder, *FOLDERS))]
    first = str(Path(videos[0].files[0]).parent) if videos else "."
    folder = folder_holding(root, folders, first, f"{chosen.title} frames")
    annotated = any(video.tubes for video in videos)
    make = partial(make_recording, folder=folder, path=path, names=names, annotated=annotated)
    return RecordingSet(style_name(style), split, root, LazyRecordings(make, called), names, frozenset(names), path)


def style_name(style: str) -> str:
    """The name of a style's set."""
    return style if style == "ovis" else f"ytvis{style[2:]}"


def list_videos(content: Mapping[str, Any], path: Path) -> list[Video]:
    """The videos of a file with their tubes, in its order."""
    by_video: dict[int, list[Tube]] = defaultdict(list)
    for row in content.get("annotations") or ():
        areas = [area for area in row.get("areas") or () if area]
        mean = sum(areas) / len(areas) if areas else 0.0
        boxes = row.get("bboxes") or None
        masks = [compact(mask) for mask in row["segmentations"]] if "segmentations" in row or boxes is None else None
        tube = Tube(whole(row["category_id"]), flag(row.get("iscrowd")), mean, masks, boxes)
        by_video[whole(row["video_id"])].append(tube)
    videos = []
    for row in content["videos"]:
        key, files = whole(row["id"]), [str(name) for name in row["file_names"]]
        video = Video(key, files, (whole(row["height"]), whole(row["width"])), by_video[key])
        for tube in video.tubes:
            for what, given in (("segmentations", tube.masks), ("bboxes", tube.boxes)):
                if given is not None and len(given) != len(files):
                    raise ValueError(f"video {key} has {len(files)} frames, one of its objects {len(given)} {what}")
        if not files:
            raise ValueError(f"video {key} has no frames")
        videos.append(video)
    return videos


def video_names(videos: Sequence[Video]) -> list[str]:
    """The folders of the frames of some videos; of videos that share one, FOLDER/ID."""
    folders = [Path(video.files[0]).parent for video in videos]
    full = [(folder / str(video.key)).as_posix() for folder, video in zip(folders, videos, strict=True)]
    return distinct_names([folder.as_posix() for folder in folders], full)


def make_recording(
    called: tuple[str, Video], *, folder: Path, path: Path, names: Mapping[int, str], annotated: bool
) -> Recording:
    """The recording of an entry and its name."""
    name, video = called
    ids = number_objects([tube.area for tube in video.tubes], [tube.crowd for tube in video.tubes])
    named = zip(ids, video.tubes, strict=True)
    with expecting(path, FIELDS):
        categories = {number: names[tube.category] for number, tube in named if number != IGNORE}
    what = f"{path}, video {video.key}"
    shown = annotated and all(tube.masks is not None for tube in video.tubes)
    boxed = annotated and all(tube.boxes is not None for tube in video.tubes)
    return Recording(
        name=name,
        frames=tuple(inside(folder, file) for file in video.files),
        annotated=tuple(range(len(video.files))) if annotated else (),
        labels=partial(label_frame, tubes=video.tubes, ids=ids, size=video.size, what=what) if shown else None,
        boxes=partial(frame_boxes, tubes=video.tubes, ids=ids, what=what) if boxed else None,
        key=video.key,
        categories=categories,
    )


def label_frame(index: int, *, tubes: list[Tube], ids: list[int], size: tuple[int, int], what: str) -> FrameLabels:
    """The labels of a frame. Raises UserError for masks that do not fit."""

    def where(place: int) -> str:
        return f"{what}, frame {index}, object {place + 1} of the video"

    masks = [tube.masks[index] for tube in tubes if tube.masks is not None]
    return FrameLabels(paint(masks, ids, size, where, [tube.crowd for tube in tubes]))


def frame_boxes(index: int, *, tubes: list[Tube], ids: list[int], what: str) -> FrameBoxes:
    """The boxes of a frame; nothing of a mask is read, and crowds are left out. Raises UserError for what is no box.

    An object without a box, or with one without an area, is not seen.
    """
    found = {}
    for place, (number, tube) in enumerate(zip(ids, tubes, strict=True), 1):
        box = None if tube.boxes is None or number == IGNORE else tube.boxes[index]
        if not box or isinstance(box, list) and len(box) == 4 and 0 in box[2:]:
            continue
        try:
            found[number] = box_of_corner(box)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{what}, frame {index}, object {place} of the video: no box {box!r:.60}: {error}"
            ) from error
    return found


def write(samples: Iterable[VideoSample], root: Path, split: str, *, style: str) -> None:
    """Writes clips with all their annotations, also of splits whose annotations the makers keep to themselves.

    Raises UserError for objects that are not of SynthVS's classes.
    """
    chosen = STYLES[style]
    folder = root / chosen.folder.format(split)
    videos: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for key, sample in enumerate(samples, 1):
        files = [f"{video_name(sample, key)}/{chosen.frame(t)}" for t in range(len(sample.frames))]
        for name, frame in zip(files, sample.frames, strict=True):
            write_picture(inside(folder, name), frame)
        height, width = sample.labels.shape[1:]
        size = {"height": height, "width": width, "length": len(files)}
        videos.append({"id": key, "file_names": files, **size})
        for number in sample.object_ids():
            ids = {"id": len(annotations) + 1, "video_id": key, "category_id": class_of(sample, number), "iscrowd": 0}
            annotations.append({**ids, **size, **tube_of(sample.labels == number, chosen)})
    categories = [{"id": number, "name": name, "supercategory": "object"} for name, number in thing_ids().items()]
    content = {"info": {}, "licenses": [], "videos": videos, "categories": categories, "annotations": annotations}
    write_json(root / chosen.file.format(split), content)


def tube_of(masks: np.ndarray, style: Style) -> dict[str, list[Any]]:
    """Segmentations, boxes and areas of an object, T H W bool; null where it is not seen."""
    shown = [mask if mask.any() else None for mask in masks]
    return {
        "segmentations": [None if mask is None else style.encode(mask) for mask in shown],
        "bboxes": [None if mask is None else box_of(mask) for mask in shown],
        "areas": [None if mask is None else int(mask.sum()) for mask in shown],
    }


class Tracks(JsonAnswers):
    """Answers as results.json: a list of video_id, category_id, score and a mask per frame."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        super().__init__(folder, "results.json")
        self._names = ClassNames.of(data)

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        with TrackSpool() as spool:
            yield spool.append
            self.keep(recording, self._entries(recording, spool))

    def _entries(self, recording: Recording, spool: TrackSpool) -> Iterator[dict[str, Any]]:
        for track in spool.tracks():
            if track.label is not None and any(rle is not None for rle in track.segmentations):
                yield {
                    "video_id": recording.key,
                    "category_id": self._names.id_of(track.label, recording.name),
                    "score": track.score,
                    "segmentations": list(track.segmentations),
                }


def truth(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """For the scorer: the set's own file, or the part of it that is about these videos."""
    if data.file is None or not any(recording.annotated for recording in recordings):
        return None
    content = read_json(data.file, data.name, ("videos", "annotations"))
    keys = {recording.key for recording in recordings}
    videos = [row for row in content["videos"] if row["id"] in keys]
    rows = [row for row in content["annotations"] if row["video_id"] in keys]
    return part_of(data.file, folder / "truth.json", content, {"videos": videos, "annotations": rows})
