"""VIPSeg: videos whose every pixel belongs to a thing, to stuff or to nothing known.

Two forms: as it is downloaded (`imgs`, `panomasks` of 16-bit PNG), and what the makers' converters make of it for the
scorer (`images`, `panomasksRGB` and a JSON per split, scaled to 720 lines), which is taken where it is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from univs.formats.answer_writer import Take, atomic_folders, frame_file
from univs.formats.files import expecting, first_folder, inside, read_json, write_json
from univs.formats.label_maps import video_name
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
from univs.formats.vipseg_raw import CATEGORIES, TITLE, read_raw
from univs.results import FrameResult
from univs.video.pictures import write_picture

FILE = "panoptic_gt_VIPSeg_{}.json"
HOMES = (".", "VIPSeg_720P")
FIELDS = (
    "videos: [video_id, images: [id, file_name, height, width]], annotations: [video_id, annotations: [image_id, "
    "file_name, segments_info: [id, category_id]]], categories: [id, name, isthing]"
)


def read(root: Path, split: str) -> RecordingSet:
    """A split, in the converted form where `root` (or `VIPSeg_720P` in it) has its JSON, else in the raw one.

    Pixels of no segment are 255. Videos of the raw test split have no labels.
    """
    for home in HOMES:
        for suffix in ("", ".gz"):
            path = root / home / f"{FILE.format(split)}{suffix}"
            if path.is_file():
                return read_converted(path, root, split)
    return read_raw(root, split, f"{TITLE}: no {FILE.format(split)}, and")


class Video(NamedTuple):
    """A video of the converted form: frames by the stems of their files; without segments where it is not annotated."""

    name: str
    frames: list[MappedFrame]
    annotated: bool


def read_converted(path: Path, root: Path, split: str) -> RecordingSet:
    """A split of the converted form."""
    folder = first_folder(path.parent, ("images", "imgs"), f"{TITLE} frames")
    content = read_json(path, TITLE, ("videos", "annotations", "categories"))
    with expecting(path, FIELDS):
        names, things = things_in(content)
        found = {str(row["video_id"]): row["annotations"] for row in content["annotations"]}
        videos = [list_video(row, found.get(str(row["video_id"])), things, names) for row in content["videos"]]
    make = partial(make_converted, folder=folder, maps=path.parent / "panomasksRGB", names=names)
    return RecordingSet("vipseg", split, root, LazyRecordings(make, videos), names, things, path)


def list_video(
    row: Mapping[str, Any],
    annotations: Iterable[Mapping[str, Any]] | None,
    things: frozenset[int],
    names: dict[int, str],
) -> Video:
    """A video of the converted form. Raises KeyError and the like for entries that do not fit."""
    by_image = {str(one["image_id"]): one for one in annotations or ()}
    frames = []
    for image in row["images"]:
        size, stem = (int(image["height"]), int(image["width"])), Path(str(image["file_name"])).stem
        found = by_image[str(image["id"])] if annotations is not None else None
        segments = segments_of(found, things, names) if found is not None else []
        frames.append(MappedFrame(stem, str(found["file_name"]) if found is not None else "", size, segments))
    return Video(str(row["video_id"]), frames, annotations is not None)


def make_converted(video: Video, *, folder: Path, maps: Path, names: dict[int, str]) -> Recording:
    """The recording of a video of the converted form."""
    home = inside(folder, video.name)
    frames = tuple(inside(home, f"{frame.file}.jpg") for frame in video.frames)
    if not video.annotated:
        return Recording(video.name, frames, key=video.name)
    files = tuple(inside(maps, f"{video.name}/{Path(frame.map).with_suffix('.png')}") for frame in video.frames)
    return mapped_recording(video.name, video.name, video.frames, frames, files, names)


def write(samples: Iterable[VideoSample], root: Path, split: str) -> None:
    """Writes clips in the converted form. Raises UserError for clips without a panoptic map."""
    videos: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for place, sample in enumerate(samples):
        name = video_name(sample, place)
        images, rows = [], []
        for t, frame in enumerate(sample.frames):
            keys, segments = segments_to_write(sample, t, 0)
            stem = f"{t:08d}"
            write_picture(root / "images" / name / f"{stem}.jpg", frame)
            write_keys(root / "panomasksRGB" / name / f"{stem}.png", keys)
            size = {"height": keys.shape[0], "width": keys.shape[1]}
            images.append({"id": stem, "file_name": f"{stem}.png", **size})
            rows.append({"image_id": stem, "file_name": f"{stem}.png", "segments_info": segments})
        videos.append({"video_id": name, "images": images})
        annotations.append({"video_id": name, "annotations": rows})
    categories = categories_to_write(class_ids(0), colours=True)
    write_json(root / CATEGORIES, categories)
    write_json(root / FILE.format(split), {"videos": videos, "annotations": annotations, "categories": categories})


class PanopticVideos(PanopticAnswers):
    """Answers as pan_pred/VIDEO/FRAME.png and pred.json."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        super().__init__(folder, data)
        self.pred = folder

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        frames: list[tuple[int, dict[int, int]]] = []
        names: dict[int, str] = {}
        with atomic_folders([inside(self.pred / "pan_pred", recording.name)]) as (folder,):

            def take(result: FrameResult) -> None:
                write_keys(folder / frame_file(recording, result.frame_index), result.labels)
                frames.append((result.frame_index, pixels_of(result.labels)))
                names.update(result.names)

            yield take
        annotations = [
            self.listed(recording, index, recording.frames[index].stem, pixels, names) for index, pixels in frames
        ]
        video = recording.name if recording.key is None else recording.key
        self.keep(recording, [{"video_id": video, "annotations": annotations}])

    def has(self, recording: Recording) -> bool:
        return super().has(recording) and (self.pred / "pan_pred" / recording.name).is_dir()


def truth(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """For the scorer: panoptic_gt_VIPSeg_val.json and panomasksRGB, where the set lies in its converted form."""
    if data.file is None or not (data.file.parent / "panomasksRGB").is_dir():
        return None
    content = read_json(data.file, data.name, ("videos", "annotations", "categories"))
    names = {recording.name for recording in recordings}
    rows = [row for row in content["annotations"] if row["video_id"] in names]
    write_json(folder / FILE.format("val"), {**content, "annotations": rows})
    link(folder / "panomasksRGB", data.file.parent / "panomasksRGB")
    return folder
