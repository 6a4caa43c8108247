"""`univs score youtube_vos`: J and F of objects of categories seen in training and of others, and their mean G.

Source: Xu et al., "YouTube-VOS: A Large-Scale Video Object Segmentation Benchmark", 2018. The scorer of the server is
not public: this is the published definition with the measures of DAVIS. Figures are fractions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from univs.errors import UserError
from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.davis import measure_objects
from univs.evaluation.metrics.score_files import (
    LabelFolders,
    frame_names,
    need_folder,
    need_frames,
    read_json,
    read_pair,
)
from univs.evaluation.metrics.scores import Progress, Scores, quiet

SPLITS = ("seen", "unseen")


@dataclass(frozen=True)
class Video(LabelFolders):
    """A video to score, all its annotated frames, and object -> its first annotated frame."""

    begins: Mapping[int, str]


ObjectFigures = dict[int, tuple[list[float], list[float]]]
"""Object -> J and F on its frames."""


def score(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """J, F and G. `gt` holds valid/ (meta.json, Annotations_gt) and seen_categories.json, `pred` VIDEO/FRAME.png."""
    need_folder(gt, "valid/meta.json, valid/Annotations_gt and seen_categories.json")
    described = _videos(gt / "valid" / "meta.json")
    splits = read_splits(gt / "seen_categories.json")
    split_of = {}
    for name, objects in described.items():
        for number, thing in objects.items():
            split_of[f"{name}/{number}"] = _split(splits, thing["category"], f"object {number} of {name}")
    videos = [find_video(gt / "valid", pred, name, objects) for name, objects in described.items()]
    measured = score_videos(score_video, videos, workers, progress, [len(v.frames) * len(v.begins) for v in videos])
    each: dict[str, dict[str, Any]] = {
        f"{video.name}/{number}": {"split": split_of[f"{video.name}/{number}"], "J": j, "F": f, **_means(j, f)}
        for video, figures in zip(videos, measured, strict=True)
        for number, (j, f) in figures.items()
    }
    overall = {
        f"{key}_{split}": _mean([figures[f"{key}_mean"] for figures in each.values() if figures["split"] == split])
        for key in "JF"
        for split in SPLITS
    }
    overall["G"] = float(np.mean(list(overall.values())))
    rows = {name: {key: figures[key] for key in ("J_mean", "F_mean")} for name, figures in each.items()}
    return Scores({"scores": overall, "per_object": each}, overall, rows)


def score_video(video: Video) -> ObjectFigures:
    """J and F of each object on the annotated frames after its first one, to the end of the video.

    Where an object is neither there nor predicted both are 1. Raises UserError for a predicted id that no object has.
    """
    figures: ObjectFigures = {number: ([], []) for number in video.begins}
    for frame in video.frames:
        numbers = [number for number, begin in video.begins.items() if begin < frame]
        if not numbers:
            continue
        true_path, path = video.files(frame)
        truth, prediction = read_pair(true_path, path)
        unknown = set(np.flatnonzero(np.bincount(prediction.reshape(-1))).tolist()) - {0, *video.begins}
        if unknown:
            known = ", ".join(map(str, sorted(video.begins)))
            raise UserError(f"{path} holds id {min(unknown)}; {video.name} has the objects {known}")
        for number, (j, f) in zip(numbers, measure_objects(prediction, truth, numbers).T.tolist(), strict=True):
            figures[number][0].append(j)
            figures[number][1].append(f)
    return figures


def find_video(valid: Path, pred: Path, name: str, objects: Mapping[str, Mapping[str, Any]]) -> Video:
    """A video of meta.json. Raises UserError for missing folders and frames."""
    truth = valid / "Annotations_gt" / name
    frames = frame_names(truth)
    begins = {int(number): min(thing["frames"]) for number, thing in objects.items()}
    listed = {frame for thing in objects.values() for frame in thing["frames"]}
    need_frames(truth, sorted(listed), valid / "meta.json")
    need_folder(pred, "VIDEO/FRAME.png")
    need_frames(pred / name, [frame for frame in frames if begins and frame > min(begins.values())], truth)
    return Video(name, truth, pred / name, tuple(frames), begins)


def read_splits(path: Path) -> dict[str, frozenset[str]]:
    """The categories of each split; UserError for a file that does not name them."""
    found = read_json(path, 'lists of categories, {"seen": [...], "unseen": [...]}')
    if not isinstance(found, dict) or not all(_are_texts(found.get(split)) for split in SPLITS):
        raise UserError(f'{path} does not name the categories; expected {{"seen": [...], "unseen": [...]}}')
    return {split: frozenset(found[split]) for split in SPLITS}


def _split(splits: Mapping[str, frozenset[str]], category: str, who: str) -> str:
    for split, names in splits.items():
        if category in names:
            return split
    raise UserError(f"seen_categories.json names {category}, the category of {who}, neither seen nor unseen")


def _videos(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    found = read_json(path, "videos with their objects, categories and frames")
    try:
        videos = {name: video["objects"] for name, video in found["videos"].items()}
        for name, objects in videos.items():
            for number, thing in objects.items():
                if not (
                    number.isdigit()
                    and isinstance(thing["category"], str)
                    and _are_texts(thing["frames"])
                    and thing["frames"]
                ):
                    raise UserError(f"{path}: object {number} of {name} has no category or no frames")
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no meta.json of YouTube-VOS: it lacks {error}") from error
    return videos


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _means(j: list[float], f: list[float]) -> dict[str, float]:
    return {"J_mean": _mean(j), "F_mean": _mean(f)}


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
