"""BURST: videos of TAO with masks on some of their frames (one a second; six of train), all in one JSON per split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from univs.errors import UserError
from univs.formats.answer_writer import JsonAnswers, Take
from univs.formats.borrowed_names import borrow
from univs.formats.files import expecting, first_file, folder_holding, inside, read_json, write_json
from univs.formats.label_maps import video_name
from univs.formats.lazy import LazyRecordings
from univs.formats.painting import MOST_OBJECTS, box_of, number_objects, paint
from univs.formats.recording import FrameLabels, Recording, RecordingSet
from univs.formats.sample import IGNORE, VideoSample
from univs.formats.synth_classes import thing_ids
from univs.formats.truth_files import part_of
from univs.results import FrameResult, encode_rle
from univs.video.pictures import write_picture
from univs.vocabularies.tao import tao_distractors, tao_names

TITLE = "BURST"
FILES = ("annotations/{}/all_classes.json", "{}/all_classes.json", "annotations/{0}/{0}.json", "{0}/{0}.json")
FIRST = "first_frame_annotations.json"
FOLDERS = ("frames/{}", "images/{}", "all_frames/{}", "{}", "frames")
FIELDS = (
    "sequences: [dataset, seq_name, width, height, all_image_paths, annotated_image_paths, track_category_ids, "
    "segmentations: [track: rle]]"
)
DATASET = "SynthVS"


class Video(NamedTuple):
    """A sequence of the file. masks: for each annotated frame, track -> counts of a compressed RLE."""

    name: str
    size: tuple[int, int]
    files: list[str]
    annotated: tuple[int, ...]
    classes: dict[int, int]
    masks: list[dict[int, str]]


def read(root: Path, split: str) -> RecordingSet:
    """A split. The labels on which a track first appears are those shown, by `first_frame_annotations.json` if there.

    Tracks keep their ids where these fit; where one is below 1 or exceeds 254, those of its video are numbered in order
    from 1 (`Recording.object_keys` leads back).
    """
    path = first_file(root, [name.format(split) for name in FILES], TITLE)
    content = read_json(path, TITLE, ("sequences",))
    with expecting(path, FIELDS):
        videos = [list_video(row) for row in content["sequences"]]
        names = {int(row["id"]): str(row["name"]) for row in content.get("categories") or ()} or tao_names()
    place = videos[0].name if videos else "."
    folder = folder_holding(root, [name.format(split) for name in FOLDERS], place, f"{TITLE} frames")
    first = path.with_name(FIRST)
    shown = read_shown(first) if first.is_file() else {}
    make = partial(make_recording, folder=folder, path=path, names=names, shown=shown)
    return RecordingSet("burst", split, root, LazyRecordings(make, videos), names, frozenset(names), path)


def list_video(row: Mapping[str, Any]) -> Video:
    """A sequence. Raises KeyError and the like for what does not fit."""
    name = f"{row['dataset']}/{row['seq_name']}"
    files, labelled = [str(file) for file in row["all_image_paths"]], row["annotated_image_paths"]
    if len(labelled) != len(row["segmentations"]):
        raise ValueError(f"{name} has {len(labelled)} annotated frames and {len(row['segmentations'])} segmentations")
    places = {file: place for place, file in enumerate(files)}
    if any(Path(file).name != file for file in files):
        raise ValueError(f"{name} has frames that are no plain names of files")
    masks = [{int(track): one["rle"] for track, one in frame.items()} for frame in row["segmentations"]]
    classes = {int(track): int(category) for track, category in row["track_category_ids"].items()}
    if unknown := {track for frame in masks for track in frame} - set(classes):
        raise ValueError(f"{name} has no class of track {min(unknown)}")
    pairs = sorted(zip((places[file] for file in labelled), masks, strict=True), key=lambda pair: pair[0])
    size = (int(row["height"]), int(row["width"]))
    return Video(name, size, files, tuple(place for place, _ in pairs), classes, [frame for _, frame in pairs])


def read_shown(path: Path) -> dict[str, dict[int, int]]:
    """Video -> track -> the frame on which it is shown."""
    content = read_json(path, TITLE, ("sequences",))
    with expecting(path, FIELDS):
        return {video.name: first_frames(video) for video in map(list_video, content["sequences"])}


def first_frames(video: Video) -> dict[int, int]:
    """Track -> the annotated frame on which it first appears."""
    found: dict[int, int] = {}
    for place, masks in zip(video.annotated, video.masks, strict=True):
        for track in masks:
            found.setdefault(track, place)
    return found


def make_recording(
    video: Video, *, folder: Path, path: Path, names: Mapping[int, str], shown: Mapping[str, dict[int, int]]
) -> Recording:
    """The recording of a sequence."""
    ids = number_tracks(video)
    with expecting(path, "categories: [id, name]"):
        categories = {number: names[video.classes[track]] for track, number in sorted(ids.items()) if number != IGNORE}
    given = shown.get(video.name) or first_frames(video)
    home = inside(folder, video.name)
    what = f"{path}, {video.name}"
    masks = dict(zip(video.annotated, video.masks, strict=True))
    return Recording(
        name=video.name,
        frames=tuple(home / file for file in video.files),
        annotated=video.annotated,
        labels=partial(label_frame, masks=masks, ids=ids, size=video.size, what=what),
        object_keys={number: track for track, number in ids.items() if number not in (track, IGNORE)},
        categories=categories,
        shown={ids[track]: place for track, place in sorted(given.items()) if ids.get(track, IGNORE) != IGNORE},
        wanted=video.annotated,
    )


def number_tracks(video: Video) -> dict[int, int]:
    """Track -> our id, 255 for those that are too many."""
    tracks = sorted({track for frame in video.masks for track in frame})
    if not tracks or (tracks[0] >= 1 and tracks[-1] <= MOST_OBJECTS):
        return {track: track for track in tracks}
    times = [float(sum(track in frame for frame in video.masks)) for track in tracks]
    return dict(zip(tracks, number_objects(times, [False] * len(tracks)), strict=True))


def label_frame(
    index: int, *, masks: Mapping[int, Mapping[int, str]], ids: Mapping[int, int], size: tuple[int, int], what: str
) -> FrameLabels:
    """The labels of an annotated frame. Raises UserError for masks that are broken."""
    tracks = list(masks[index])
    rles = [{"size": size, "counts": counts} for counts in masks[index].values()]
    where = [f"{what}, frame {index}, track {track}" for track in tracks]
    return FrameLabels(paint(rles, [ids[track] for track in tracks], size, where.__getitem__))


def write(samples: Iterable[VideoSample], root: Path, split: str) -> None:
    """Writes clips, annotated on every frame; things of SynthVS take on classes of TAO (see `borrowed_names`).

    Raises UserError for objects without a name.
    """
    official = {number: name for number, name in tao_names().items() if number not in tao_distractors()}
    every = frozenset(borrow(thing_ids(), official).values())
    sequences: list[dict[str, Any]] = []
    for place, sample in enumerate(samples):
        name = video_name(sample, place)
        files = [f"frame{t:04d}.jpg" for t in range(1, len(sample.frames) + 1)]
        for file, frame in zip(files, sample.frames, strict=True):
            write_picture(root / FOLDERS[0].format(split) / DATASET / name / file, frame)
        nameless = [number for number in sample.object_ids() if number not in sample.categories]
        if nameless:
            raise UserError(f"{sample.name}: object {nameless[0]} is without a name; expected a class for each")
        classes = borrow(sample.categories.values(), official)
        tracks = {str(number): classes[sample.categories[number]] for number in sample.object_ids()}
        sequences.append(
            {
                "id": place,
                "dataset": DATASET,
                "seq_name": name,
                "height": sample.labels.shape[1],
                "width": sample.labels.shape[2],
                "fps": 1,
                "all_image_paths": files,
                "annotated_image_paths": files,
                "neg_category_ids": sorted(every - set(tracks.values())) if sample.complete else [],
                "not_exhaustive_category_ids": [] if sample.complete else sorted(set(tracks.values())),
                "track_category_ids": tracks,
                "segmentations": [masks_of(labels) for labels in sample.labels],
            }
        )
    categories = [{"id": number, "name": name, "synonyms": [name]} for number, name in tao_names().items()]
    content = {"categories": categories, "split": split}
    path = root / FILES[0].format(split)
    write_json(path, {"sequences": sequences, **content})
    if split != "train":
        shown = [{**row, "segmentations": first_masks(row["segmentations"])} for row in sequences]
        write_json(path.with_name(FIRST), {"sequences": shown, **content})


def masks_of(labels: np.ndarray) -> dict[str, dict[str, Any]]:
    """The segmentations of a frame, H W uint8, with a box and a point of each."""
    found = {}
    for number in np.unique(labels).tolist():
        if number not in (0, IGNORE):
            mask = labels == number
            rows, columns = np.nonzero(mask)
            point = [int(columns[len(columns) // 2]), int(rows[len(rows) // 2])]
            found[str(number)] = {"rle": encode_rle(mask)["counts"], "is_gt": True, "score": 1.0}
            found[str(number)] |= {"bbox": box_of(mask), "point": point}
    return found


def first_masks(frames: Iterable[dict[str, dict[str, Any]]]) -> list[dict[str, dict[str, Any]]]:
    """The segmentations on the frame on which each track first appears."""
    seen: set[str] = set()
    kept = []
    for frame in frames:
        kept.append({track: one for track, one in frame.items() if track not in seen})
        seen |= frame.keys()
    return kept


class GivenTracks(JsonAnswers):
    """Answers as results.json: sequences with the masks of given tracks on the annotated frames."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        super().__init__(folder, "results.json", f'{{"split": "{data.split}", "sequences": ', "}\n")
        self._numbers = {name: number for number, name in data.classes.items()}

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        dataset, _, name = recording.name.rpartition("/")
        sequence: dict[str, Any] = {"dataset": dataset, "seq_name": name, "annotated_image_paths": []}
        found: list[dict[str, Any]] = []

        def track(number: int) -> str:
            return str(recording.object_keys.get(number, number))

        def take(result: FrameResult) -> None:
            sequence["height"], sequence["width"] = result.labels.shape
            sequence["annotated_image_paths"].append(recording.frames[result.frame_index].name)
            rles = {number: result.rle(number) for number in result.object_ids}
            found.append({track(number): {"rle": rle["counts"]} for number, rle in rles.items() if rle is not None})

        yield take
        classes = {track(number): self._numbers[recording.categories[number]] for number in sorted(recording.shown)}
        self.keep(recording, [{**sequence, "track_category_ids": classes, "segmentations": found}])


def truth(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """For the scorer: the set's own file, or the part of it that is about these sequences."""
    if data.file is None or not all(recording.annotated for recording in recordings):
        return None
    content = read_json(data.file, data.name, ("sequences",))
    names = {recording.name for recording in recordings}
    rows = [row for row in content["sequences"] if f"{row['dataset']}/{row['seq_name']}" in names]
    return part_of(data.file, folder / "truth.json", content, {"sequences": rows})
