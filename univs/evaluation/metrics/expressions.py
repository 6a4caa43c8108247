"""`univs score ref_expressions`: J, F and J&F of masks that answer expressions, for Ref-YouTube-VOS and MeViS.

Source: Seo et al., "URVOS: Unified Referring Video Object Segmentation Network", ECCV 2020; rules are those of
henghuiding/MeViS. All frames of a video count; means are over the expressions, long and short videos alike. Fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from univs.errors import UserError
from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.davis import measure_pairs
from univs.evaluation.metrics.score_files import need_folder, need_frames, read_json, read_labels
from univs.evaluation.metrics.scores import Progress, Scores, quiet
from univs.masks.overlaps import draw
from univs.masks.rle import Rle, own_size, read_masks


@dataclass(frozen=True)
class DescribedVideo:
    """A video to score: its frames, the annotations that each expression means, and their masks frame by frame."""

    name: str
    prediction: Path
    frames: tuple[str, ...]
    expressions: Mapping[str, tuple[str, ...]]
    masks: Mapping[str, Sequence[Any]]
    """As `source` has them."""
    source: Path


def score(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """J, F and J&F. `gt` holds meta_expressions.json and mask_dict.json, `pred` VIDEO/EXPRESSION/FRAME.png."""
    need_folder(gt, "meta_expressions.json and mask_dict.json")
    need_folder(pred, "VIDEO/EXPRESSION/FRAME.png")
    videos = read_videos(gt, pred)
    work = [len(video.frames) * len(video.expressions) for video in videos]
    if videos and not any(video.prediction.is_dir() for video in videos):
        names = ", ".join(video.name for video in videos[:3])
        raise UserError(f"{pred} has a folder of none of the videos ({names}, …); expected VIDEO/EXPRESSION/FRAME.png")
    measured = score_videos(score_video, videos, workers, progress, work)
    each, rows = {}, {}
    for video, figures in zip(videos, measured, strict=True):
        for expression, (j, f) in figures.items():
            each[f"{video.name}_{expression}"] = {"J": j, "F": f}
        rows[video.name] = _overall(list(figures.values()))
    overall = _overall([(figures["J"], figures["F"]) for figures in each.values()])
    return Scores({**overall, "per_expression": each}, overall, rows)


def score_video(video: DescribedVideo) -> dict[str, tuple[float, float]]:
    """J and F of each expression of a video, averaged over its frames; 0 where the video has no folder.

    What is meant is the union of the annotations. Raises UserError for a frame without a prediction.
    """
    if not video.prediction.is_dir():
        return dict.fromkeys(video.expressions, (0.0, 0.0))
    for expression in video.expressions:
        need_frames(video.prediction / expression, video.frames, Path(f"video {video.name}"))
    size, tubes = _read_tubes(video)
    figures = np.zeros((len(video.expressions), len(video.frames), 2))
    for t, frame in enumerate(video.frames):
        masks = {number: None if (rle := rles[t]) is None else draw(rle) for number, rles in tubes.items()}
        for row, (expression, numbers) in enumerate(video.expressions.items()):
            there = [mask for mask in (masks[number] for number in numbers) if mask is not None]
            path = video.prediction / expression / f"{frame}.png"
            shown = read_labels(path, size) > 0
            truth = np.logical_or.reduce(there) if there else np.zeros_like(shown)
            figures[row, t] = measure_pairs([shown], [truth])[:, 0, 0]
    return {name: (float(j), float(f)) for name, (j, f) in zip(video.expressions, figures.mean(1), strict=True)}


def read_videos(gt: Path, pred: Path) -> list[DescribedVideo]:
    """The videos of meta_expressions.json with their masks. Raises UserError for what does not fit together."""
    path, mask_path = gt / "meta_expressions.json", gt / "mask_dict.json"
    found = read_json(path, "videos with their frames and expressions")
    masks = read_json(mask_path, "annotation id -> RLE or null for every frame")
    videos = []
    try:
        for name, video in found["videos"].items():
            meant = {key: tuple(str(n) for n in told["anno_id"]) for key, told in video["expressions"].items()}
            frames = tuple(video["frames"])
            if not all(isinstance(frame, str) for frame in frames):
                raise UserError(f"{path}: video {name} has frames that are no names")
            if not frames:
                raise UserError(f"{path}: video {name} has no frames")
            numbers = sorted({number for ids in meant.values() for number in ids})
            for number in numbers:
                if number not in masks:
                    raise UserError(f"{mask_path} has no annotation {number}, which an expression of {name} means")
                if len(masks[number]) != len(frames):
                    count = len(masks[number])
                    raise UserError(f"{mask_path}: annotation {number} has {count} frames, video {name} {len(frames)}")
            videos.append(DescribedVideo(name, pred / name, frames, meant, {n: masks[n] for n in numbers}, mask_path))
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} does not hold what was expected: it lacks {error}") from error
    return videos


def _read_tubes(video: DescribedVideo) -> tuple[tuple[int, int] | None, dict[str, list[Rle | None]]]:
    """Height and width of a video by its first mask (None if it has none), and its masks. UserError for broken ones."""

    def where(number: str, frame: int) -> str:
        return f"{video.source}, annotation {number}, frame {frame} of {video.name}"

    for number, masks in video.masks.items():
        for frame, mask in enumerate(masks):
            if mask is not None:
                size = own_size(mask, where(number, frame))
                tubes = {key: read_masks(own, size, partial(where, key)).rles for key, own in video.masks.items()}
                return size, tubes
    return None, {number: [None] * len(masks) for number, masks in video.masks.items()}


def _overall(figures: Sequence[tuple[float, float]]) -> dict[str, float]:
    if not figures:
        return dict.fromkeys(("J", "F", "J&F"), float("nan"))
    j, f = (float(value) for value in np.mean(figures, 0))
    return {"J": j, "F": f, "J&F": (j + f) / 2}
