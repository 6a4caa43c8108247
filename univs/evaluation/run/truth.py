"""The ground truth of the videos that were answered, as the scorer of their benchmark takes it.

It is made of links to the files of the set and of lists of the chosen videos, so that part of a split, or another one,
is scored as the official one is. Each function gives the scorer's path, or None where the set has no ground truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from univs.formats import Recording, RecordingSet
from univs.formats.files import read_json, write_json, write_lines
from univs.formats.kitti_mots import lines_of

Truth = Callable[[RecordingSet, Sequence[Recording], Path], Path | None]
"""(set, the videos that were answered, a folder of one's own) -> what the scorer takes."""


def label_maps(
    data: RecordingSet, recordings: Sequence[Recording], folder: Path, *, home: str, names: str = ""
) -> Path | None:
    """Folders of label maps, one for each video.

    Args:
        home: where they go, with {} for the video.
        names: where the list of the videos goes; nowhere if empty.
    """
    if not all(len(recording.label_files) == len(recording.frames) for recording in recordings):
        return None
    for recording in recordings:
        link(folder / home.format(recording.name), recording.label_files[0].parent)
    if names:
        write_lines(folder / names, [recording.name for recording in recordings])
    return folder


davis = partial(label_maps, home="Annotations/480p/{}", names="ImageSets/2017/val.txt")
davis_unsupervised = partial(label_maps, home="Annotations_unsupervised/480p/{}", names="ImageSets/2017/val.txt")
vspw = partial(label_maps, home="data/{}/mask", names="val.txt")


def single_maps(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """Label maps of all videos in one folder (CamVid)."""
    files = [path for recording in recordings for path in recording.label_files]
    for path in files:
        link(folder / path.name, path)
    return folder if files else None


def expressions(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """meta_expressions.json and mask_dict.json, where somebody has them beside each other."""
    home = data.root / "meta_expressions" / data.split
    if not (home / "mask_dict.json").is_file():
        return None
    content = read_json(home / "meta_expressions.json", data.name, ("videos",))
    names = {recording.name for recording in recordings}
    videos = {name: video for name, video in content["videos"].items() if name in names}
    write_json(folder / "meta_expressions.json", {**content, "videos": videos})
    link(folder / "mask_dict.json", home / "mask_dict.json")
    return folder


def youtube_vos(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """valid/meta.json, valid/Annotations_gt and seen_categories.json, where somebody has them."""
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


def viposeg(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """Annotations_gt, Annotations and obj_class.json."""
    home = data.root / data.split
    if not (home / "Annotations_gt").is_dir():
        return None
    for recording in recordings:
        for name in ("Annotations_gt", "Annotations"):
            link(folder / name / recording.name, home / name / recording.name)
    link(folder / "obj_class.json", home / "obj_class.json")
    return folder


def youtube_vis(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """The set's own file, or the part of it that is about these videos."""
    if data.file is None or not any(recording.annotated for recording in recordings):
        return None
    content = read_json(data.file, data.name, ("videos", "annotations"))
    keys = {recording.key for recording in recordings}
    videos = [row for row in content["videos"] if row["id"] in keys]
    rows = [row for row in content["annotations"] if row["video_id"] in keys]
    return part_of(data.file, folder / "truth.json", content, {"videos": videos, "annotations": rows})


def burst(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """The same of sequences."""
    if data.file is None or not all(recording.annotated for recording in recordings):
        return None
    content = read_json(data.file, data.name, ("sequences",))
    names = {recording.name for recording in recordings}
    rows = [row for row in content["sequences"] if f"{row['dataset']}/{row['seq_name']}" in names]
    return part_of(data.file, folder / "truth.json", content, {"sequences": rows})


def vipseg(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """panoptic_gt_VIPSeg_val.json and panomasksRGB, where the set lies in its converted writer."""
    if data.file is None or not (data.file.parent / "panomasksRGB").is_dir():
        return None
    content = read_json(data.file, data.name, ("videos", "annotations", "categories"))
    names = {recording.name for recording in recordings}
    rows = [row for row in content["annotations"] if row["video_id"] in names]
    write_json(folder / "panoptic_gt_VIPSeg_val.json", {**content, "annotations": rows})
    link(folder / "panomasksRGB", data.file.parent / "panomasksRGB")
    return folder


def kitti_mots(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """evaluate_mots.seqmap.val and label_02/SEQUENCE.txt, which are the set's own text files or made of its PNG."""
    if not all(recording.label_files for recording in recordings):
        return None
    lines = [f"{recording.name} empty 000000 {len(recording) - 1:06d}" for recording in recordings]
    write_lines(folder / "evaluate_mots.seqmap.val", lines)
    for recording in recordings:
        path, files = folder / "label_02" / f"{recording.name}.txt", recording.label_files
        if files[0].suffix == ".txt":
            link(path, files[0])
        else:
            write_lines(path, (line for file in files for line in lines_of(file)))
    return folder


def coco_panoptic(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """truth.json and the folder truth of its PNG."""
    if data.file is None:
        return None
    content = read_json(data.file, data.name, ("annotations", "categories"))
    keys = {recording.key for recording in recordings}
    rows = [row for row in content["annotations"] if row["image_id"] in keys]
    write_json(folder / "truth.json", {**content, "annotations": rows})
    link(folder / "truth", data.file.with_name(data.file.name.split(".json")[0]))
    return folder / "truth.json"


def part_of(path: Path, part: Path, content: dict[str, Any], rows: dict[str, list[Any]]) -> Path:
    """The file itself if these rows are all it has, else a file with these rows alone."""
    if all(len(content[key]) == len(kept) for key, kept in rows.items()):
        return path
    write_json(part, {**content, **rows})
    return part


def link(path: Path, target: Path) -> None:
    """A symbolic link to a file or folder; the folders above it are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target.resolve())
