"""YouTube-VOS 2018 and 2019: every fifth frame is annotated; meta.json says which objects are on which frames.

Of valid and test videos only the label maps on which objects first appear are public. Where Annotations_gt lies beside
them (as in `univs score youtube_vos`), it holds the label maps of all annotated frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from univs.errors import UserError
from univs.formats.files import expecting, inside, list_frames, read_json, require_folder, write_json
from univs.formats.label_maps import (
    frame_stems,
    label_files,
    object_ids,
    read_ids,
    recording_of,
    video_name,
    write_first_labels,
    write_frames,
    write_maps,
)
from univs.formats.lazy import LazyRecordings
from univs.formats.recording import Recording, RecordingSet
from univs.formats.sample import VideoSample
from univs.formats.truth_files import link
from univs.video.images import natural_key

EVERY = 5
"""Distance of annotated frames."""
SEEN = "seen_categories.json"
FIELDS = '{"videos": {VIDEO: {"objects": {ID: {"category": NOUN, "frames": [FRAME, …]}}}}}'


def read(root: Path, split: str, *, name: str) -> RecordingSet:
    """A split in `root`: train, valid or test; `name` is that of the set.

    The frames of SPLIT_all_frames are taken where that folder is there; `wanted` are then those of SPLIT alone.
    Raises UserError that names what is missing or does not fit.
    """
    what, home = f"{name} {split}", require_folder(root / split, f"{name} {split}")
    path = home / "meta.json"
    with expecting(path, FIELDS):
        videos = [(video, dict(told["objects"])) for video, told in read_json(path, what, ["videos"])["videos"].items()]
    if not videos:
        raise UserError(f"{what}: {path} names no video")
    for folder in ("JPEGImages", "Annotations"):
        require_folder(home / folder, what)
    return RecordingSet(name, split, root, LazyRecordings(partial(_recording, root, split, what), tuple(videos)))


def _recording(root: Path, split: str, what: str, video: tuple[str, Mapping[str, Any]]) -> Recording:
    name, objects = video
    home, everything = root / split, root / f"{split}_all_frames" / "JPEGImages"
    asked = list_frames(inside(home / "JPEGImages", name), what)
    frames = list_frames(inside(everything, name), what) if everything.is_dir() else asked
    places = {frame.stem: place for place, frame in enumerate(frames)}
    with expecting(home / "meta.json", FIELDS):
        begins = {
            int(number): min(map(str, thing["frames"]), key=natural_key)
            for number, thing in objects.items()
            if thing["frames"]
        }
        nouns = {int(n): str(thing["category"]) for n, thing in objects.items() if "category" in thing}
    truth = home / "Annotations_gt"
    files = label_files(frames, (truth if truth.is_dir() else home / "Annotations") / name, what)
    for stem in [*begins.values(), *(frame.stem for frame in asked)]:
        if stem not in places:
            raise UserError(f"{what}: no frame {frames[0].parent / stem}.jpg, which the split needs")
    shown = {number: places[stem] for number, stem in begins.items()}
    for number, place in shown.items():
        if place not in files:
            raise UserError(
                f"{what}: no label map of frame {begins[number]} of {name}, on which {number} first appears"
            )
    wanted = None if frames is asked else tuple(places[frame.stem] for frame in asked)
    return recording_of(name, frames, files, read_ids, categories=nouns, shown=shown, wanted=wanted)


def read_nouns(path: Path, what: str, videos: Iterable[str]) -> dict[str, dict[int, str]]:
    """Video -> object -> noun by a meta.json, as far as it has these videos; nothing where there is no such file."""
    told = read_json(path, what, ["videos"])["videos"] if path.is_file() else {}
    with expecting(path, '{"videos": {VIDEO: {"objects": {ID: {"category": NOUN}}}}}'):
        objects = {name: told.get(name, {}).get("objects", {}) for name in videos}
        return {
            name: {int(number): str(thing["category"]) for number, thing in own.items()}
            for name, own in objects.items()
        }


def write(samples: Iterable[VideoSample], root: Path, split: str, *, name: str) -> None:
    """Writes clips as a split of the set `name`: each frame of a clip is one of the annotated frames 0, 5, 10, ...

    Of valid and test the full truth is written too, as `univs score youtube_vos` reads it: Annotations_gt, categories
    in meta.json, and `seen_categories.json`, which calls the first half of the categories (by the alphabet) seen.
    """
    home, videos = root / split, {}
    for place, sample in enumerate(samples):
        video, stems = video_name(sample, place), frame_stems(len(sample.frames), step=EVERY)
        write_frames(home / "JPEGImages" / video, sample, stems)
        write_maps(home / ("Annotations" if split == "train" else "Annotations_gt") / video, stems, sample.labels)
        if split != "train":
            write_first_labels(home / "Annotations" / video, stems, list(sample.labels), always=True)
        videos[video] = {"objects": _objects(sample, stems)}
    write_json(home / "meta.json", {"videos": videos})
    if split != "train":
        names = sorted({thing["category"] for video in videos.values() for thing in video["objects"].values()})
        half = (len(names) + 1) // 2
        write_json(root / SEEN, {"seen": names[:half], "unseen": names[half:]})


def _objects(sample: VideoSample, stems: list[str]) -> dict[str, dict[str, Any]]:
    """What meta.json says of the objects of a clip."""
    objects: dict[str, dict[str, Any]] = {}
    for stem, labels in zip(stems, sample.labels, strict=True):
        for number in object_ids(labels):
            thing = {"category": sample.categories.get(number, "object"), "frames": []}
            objects.setdefault(str(number), thing)["frames"].append(stem)
    return dict(sorted(objects.items(), key=lambda item: int(item[0])))


def truth(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """For the scorer: valid/meta.json, valid/Annotations_gt and seen_categories.json, where somebody has them."""
    home, seen = data.root / data.split, data.root / "seen_categories.json"
    if not (home / "Annotations_gt").is_dir() or not seen.is_file():
        return None
    meta = read_json(home / "meta.json", data.name, ("videos",))
    chosen = {recording.name for recording in recordings}
    videos = {name: video for name, video in meta["videos"].items() if name in chosen}
    write_json(folder / "valid" / "meta.json", {**meta, "videos": videos})
    link(folder / "valid" / "Annotations_gt", home / "Annotations_gt")
    link(folder / "seen_categories.json", seen)
    return folder
