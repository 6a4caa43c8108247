"""Ref-YouTube-VOS: the videos of YouTube-VOS 2019 with sentences, in meta_expressions/SPLIT/meta_expressions.json.

Of train the objects that are meant and their label maps are public, of valid and test the sentences alone. Where
mask_dict.json lies beside meta_expressions.json (the local ground truth of `univs score ref_expressions`), it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from univs.errors import UserError
from univs.formats.answer_writer import VideoFolders, frame_file, mask_of
from univs.formats.files import expecting, inside, read_json, require_folder, write_json
from univs.formats.label_maps import (
    frame_stems,
    label_files,
    read_ids,
    recording_of,
    video_name,
    write_frames,
    write_maps,
)
from univs.formats.lazy import LazyRecordings
from univs.formats.painting import MOST_OBJECTS, paint
from univs.formats.recording import Expression, FrameLabels, Recording, RecordingSet
from univs.formats.sample import VideoSample
from univs.formats.truth_files import link
from univs.formats.youtube_vos import EVERY, read_nouns
from univs.masks.rle import own_size
from univs.results import FrameResult, encode_rle
from univs.video.pictures import write_picture

PER_OBJECT = 2
"""Sentences that the writer takes of an object: the public set has about two."""
FIELDS = '{"videos": {VIDEO: {"frames": [FRAME, …], "expressions": {KEY: {"exp": SENTENCE, "obj_id": ID}}}}}'
MASKS = "mask_dict.json"

Tubes = Mapping[int, Sequence[Any]]
"""Object -> RLE or None, frame by frame."""


def read(root: Path, split: str) -> RecordingSet:
    """A split in `root`: train, valid or test. Raises UserError that names what is missing or does not fit.

    The valid file names the videos of test as well; those are left out where the file of test is there.
    """
    what, path = f"ref_ytvos {split}", _meta(root, split)
    require_folder(root / split / "JPEGImages", what)
    videos = read_json(path, what, ["videos"])["videos"]
    with expecting(path, FIELDS):
        others = _meta(root, "test") if split == "valid" and _meta(root, "test").is_file() else None
        later = set(read_json(others, what, ["videos"])["videos"]) if others else set()
        named = [(name, told) for name, told in sorted(videos.items()) if name not in later]
    if not named:
        raise UserError(f"{what}: {path} names no video of this split")
    truth = path.with_name(MASKS)
    masks = read_json(truth, what) if truth.is_file() else None
    if masks is None and split == "train":
        require_folder(root / split / "Annotations", what)
    nouns = read_nouns(root / split / "meta.json", what, dict(named))
    with expecting(path, FIELDS):
        items = tuple((name, told, _tubes(told, masks, truth), nouns[name]) for name, told in named)
    recordings = LazyRecordings(partial(_recording, root, split, what), items)
    return RecordingSet("ref_ytvos", split, root, recordings, file=path if masks is not None else None)


def _meta(root: Path, split: str) -> Path:
    return root / "meta_expressions" / split / "meta_expressions.json"


def _tubes(told: Mapping[str, Any], masks: Mapping[str, Any] | None, path: Path) -> Tubes:
    """The masks of the objects of a video that sentences mean."""
    tubes: dict[int, Sequence[Any]] = {}
    for said in told["expressions"].values() if masks is not None else ():
        number = object_of(said)
        annotations = said.get("anno_id", [])
        if number is None or len(annotations) != 1 or masks is None:
            continue
        if str(annotations[0]) not in masks or len(masks[str(annotations[0])]) != len(told["frames"]):
            raise UserError(f"{path}: expected a mask or null of annotation {annotations[0]} for every frame")
        tubes[number] = masks[str(annotations[0])]
    return tubes


def object_of(said: Mapping[str, Any]) -> int | None:
    """The id of the object that a sentence means: 7, "7" or [7]; None if the file does not tell, or tells several."""
    found = said.get("obj_id")
    if isinstance(found, list):
        found = found[0] if len(found) == 1 else None
    number = None if found is None else int(found)
    if number is not None and not 1 <= number <= MOST_OBJECTS:
        raise ValueError(f"obj_id {number}, expected 1 to {MOST_OBJECTS}")
    return number


def _recording(
    root: Path, split: str, what: str, item: tuple[str, Mapping[str, Any], Tubes, Mapping[int, str]]
) -> Recording:
    name, told, tubes, nouns = item
    folder = inside(root / split / "JPEGImages", name)
    with expecting(_meta(root, split), FIELDS):
        frames = tuple(inside(folder, f"{stem}.jpg") for stem in told["frames"])
        expressions = tuple(
            Expression(str(key), str(said["exp"]), object_of(said)) for key, said in told["expressions"].items()
        )
    for frame in frames:
        if not frame.is_file():
            raise UserError(f"{what}: no frame {frame}, which meta_expressions.json names")
    masks = root / split / "Annotations" / name
    if any(rle is not None for tube in tubes.values() for rle in tube):
        labels = partial(_draw, tubes, f"{_meta(root, split).with_name(MASKS)}, {name}")
        return Recording(name, frames, tuple(range(len(frames))), labels, categories=nouns, expressions=expressions)
    if not masks.is_dir() and split != "train":
        return Recording(name, frames, categories=nouns, expressions=expressions)
    files = label_files(frames, masks, what, all_listed=False)
    return recording_of(name, frames, files, read_ids, categories=nouns, expressions=expressions)


def _draw(tubes: Tubes, what: str, frame: int) -> FrameLabels:
    """The label map of a frame from the masks of its objects."""
    first = next(rle for tube in tubes.values() for rle in tube if rle is not None)
    where = [f"{what}, frame {frame}, object {number}" for number in tubes]
    masks = [tube[frame] for tube in tubes.values()]
    return FrameLabels(paint(masks, list(tubes), own_size(first, what), where.__getitem__))


def write(samples: Iterable[VideoSample], root: Path, split: str) -> None:
    """Writes clips as a split: each frame of a clip is one of the annotated frames 0, 5, 10, ...

    Two sentences of each object are written. Of valid and test label maps are not, but mask_dict.json beside the
    sentences, which then tell what they mean: with it `univs score ref_expressions` takes meta_expressions/SPLIT.
    """
    home = root / split
    videos: dict[str, Any] = {}
    objects: dict[str, Any] = {}
    masks: dict[str, Any] = {}
    for place, sample in enumerate(samples):
        name, stems = video_name(sample, place), frame_stems(len(sample.frames), step=EVERY)
        write_frames(home / "JPEGImages" / name, sample, stems)
        said = [(number, text) for number, texts in sample.expressions.items() for text in texts[:PER_OBJECT]]
        expressions: dict[str, Any] = {
            str(key): {"exp": text, "obj_id": str(number)} for key, (number, text) in enumerate(said)
        }
        if split == "train":
            write_maps(home / "Annotations" / name, stems, sample.labels)
            nouns = {str(number): {"category": noun} for number, noun in sorted(sample.categories.items())}
            objects[name] = {"objects": nouns}
        else:
            annotations = {number: len(masks) + k for k, number in enumerate(dict(said))}
            for told in expressions.values():
                told["anno_id"] = [annotations[int(told["obj_id"])]]
            masks.update((str(a), _tube(sample.labels, number)) for number, a in annotations.items())
        videos[name] = {"expressions": expressions, "frames": stems}
    write_json(_meta(root, split), {"videos": videos})
    if split == "train":
        write_json(home / "meta.json", {"videos": objects})
    else:
        write_json(_meta(root, split).with_name(MASKS), masks)


def _tube(labels: np.ndarray, number: int) -> list[Any]:
    """The masks of an object on T H W label maps, as mask_dict.json has them."""
    masks = labels == number
    return [encode_rle(mask) if mask.any() else None for mask in masks]


class ExpressionFolders(VideoFolders):
    """Answers as VIDEO/EXPRESSION/FRAME.png, 255 inside."""

    def write(self, recording: Recording, folder: Path, result: FrameResult) -> None:
        for number, said in enumerate(recording.expressions, 1):
            mask = mask_of(result, number).astype(np.uint8) * 255
            write_picture(inside(folder, said.key) / frame_file(recording, result.frame_index), mask)


def truth(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """For the scorer: meta_expressions.json and mask_dict.json, where somebody has them beside each other."""
    home = data.root / "meta_expressions" / data.split
    if not (home / "mask_dict.json").is_file():
        return None
    content = read_json(home / "meta_expressions.json", data.name, ("videos",))
    names = {recording.name for recording in recordings}
    videos = {name: video for name, video in content["videos"].items() if name in names}
    write_json(folder / "meta_expressions.json", {**content, "videos": videos})
    link(folder / "mask_dict.json", home / "mask_dict.json")
    return folder
