"""`univs score youtube_vis`: AP and AR of segmented tubes, for YouTube-VIS, OVIS and whatever comes in their format.

Source: Yang et al., "Video Instance Segmentation", ICCV 2019; rules are those of youtubevos/cocoapi (`ytvoseval`) with
its default parameters. The IoU of two tubes is that of their volumes. Figures are fractions; -1 where there is no
ground truth to average over.

D detections, G true tubes of a video; R area ranges, L IoU thresholds, C categories.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.scores import Progress, Scores, quiet
from univs.evaluation.metrics.spool import Spooled
from univs.evaluation.metrics.tube_precision import (
    RECALLS,
    Floats,
    Matches,
    match,
    mean_known,
    precision_at_recalls,
    reached_recall,
)
from univs.evaluation.metrics.youtube_vis_files import Video, spool_videos
from univs.fields import finite, flag, whole
from univs.masks.overlaps import intersections
from univs.masks.rle import Rle, read_masks

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RANGES = {"all": (0, 1e10), "small": (0, 128**2), "medium": (128**2, 256**2), "large": (256**2, 1e10)}
"""Mean areas in pixels of the frames that show the tube, both ends included."""
LIMITS = (1, 10, 100)
"""Detections that are looked at, per video and category."""
MOST = LIMITS[-1]
SHAPE = (len(RANGES), len(THRESHOLDS))


class Tube(NamedTuple):
    """A true tube or a detection: one RLE per frame, None where it is not seen."""

    category: int
    masks: list[Rle | None]
    pixels: NDArray[np.int64]
    """Of each mask."""
    score: float = 0.0
    crowd: bool = False
    area: float = 0.0
    """Mean area over the frames that show it; of a detection it is computed from its masks."""


def score(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """All figures of a results.json. Raises UserError for whatever is wrong with the files."""
    by_category: dict[int, list[Matches]] = defaultdict(list)
    with TemporaryDirectory(prefix="univs-score-") as folder:
        videos, categories = spool_videos(gt, pred, Path(folder), workers)
        weights = [video.truth.size + video.found.size for video in videos]
        for measured in score_videos(measure_video, videos, workers, progress, weights):
            for category, matches in measured.items():
                by_category[category].append(matches)
    precisions = {category: precision_at_recalls(by_category[category], SHAPE) for category in categories}
    recalls = {
        category: {most: reached_recall(by_category[category], SHAPE, most) for most in LIMITS}
        for category in categories
    }
    stats = statistics(list(precisions.values()), list(recalls.values()))
    per_category = {
        category: {
            "AP": mean_known(precision[0]),
            "AP_per_iou": [mean_known(row) for row in precision[0]],
            "recall_per_iou": recalls[category][MOST][0],
        }
        for category, precision in precisions.items()
    }
    rows = {}
    for category, precision in precisions.items():
        if mean_known(precision[0]) >= 0:
            thresholds = {f"AP{percent}": mean_known(precision[0, k]) for percent, k in ((50, 0), (75, 5))}
            found = {f"AR{most}": mean_known(recalls[category][most][0]) for most in (1, 10)}
            rows[categories[category]] = {"AP": mean_known(precision[0]), **thresholds, **found}
    summary = {key: stats[key] for key in ("AP", "AP50", "AP75", "AR1", "AR10", "AP_small", "AP_medium", "AP_large")}
    return Scores({"stats": stats, "per_category": per_category}, summary, rows)


def measure_video(video: Video) -> dict[int, Matches]:
    """Category -> how its detections fared in one video. Raises UserError for masks that cannot be read."""
    truth = read_tubes(video.truth, video.size, f"{video.gt}, annotation")
    found = read_tubes(video.found, video.size, f"{video.pred}, result")
    true_categories = np.array([tube.category for tube in truth], np.int64)
    categories = np.array([tube.category for tube in found], np.int64)
    # All categories at once, but not the detections that have none to match.
    asked = np.flatnonzero(np.isin(categories, true_categories))
    shared = np.zeros((len(found), len(truth)))
    true_masks = [tube.masks for tube in truth]
    shared[asked] = intersections([found[k].masks for k in asked], true_masks, [found[k].pixels for k in asked])
    volumes, true_volumes = (np.array([tube.pixels.sum() for tube in part], np.int64) for part in (found, truth))
    union = volumes[:, None] + true_volumes - shared
    iou = np.where(union > 0, shared / np.where(union > 0, union, 1), 0.0)
    scores = np.array([tube.score for tube in found], np.float64)
    shown = np.array([np.count_nonzero(tube.pixels) for tube in found], np.int64)
    sizes = volumes / np.maximum(shown, 1)
    result = {}
    for category in sorted({*categories.tolist(), *true_categories.tolist()}):
        rows, columns = np.flatnonzero(categories == category), np.flatnonzero(true_categories == category)
        rows = rows[np.argsort(-scores[rows], kind="stable")[:MOST]]
        result[category] = match_tubes(iou[rows][:, columns], scores[rows], sizes[rows], [truth[k] for k in columns])
    return result


def read_tubes(rows: Spooled, size: tuple[int, int], source: str) -> list[Tube]:
    """Tubes as their file has them. Raises UserError for masks, scores and areas that cannot be read.

    Args:
        source: the file and what it calls a tube, for messages.
    """
    read: list[Mapping[str, Any]] = list(rows.read())
    figures = []
    for place, row in zip(rows.places.tolist(), read, strict=True):
        try:
            area, score = mean_area(row.get("areas", ())), finite(row.get("score", 0))
            figures.append((area, score, flag(row.get("iscrowd"))))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{source} {place}: expected finite numbers as score and areas, 0 or 1 as iscrowd ({error})"
            ) from error
    first = np.cumsum([0, *(len(row["segmentations"]) for row in read)])

    def where(place: int) -> str:
        row = int(np.searchsorted(first, place, "right")) - 1
        return f"{source} {rows.places[row]}, frame {place - first[row]}"

    masks = read_masks([mask for row in read for mask in row["segmentations"]], size, where)
    return [
        Tube(
            whole(row["category_id"]),
            masks.rles[start:end],
            masks.areas[start:end],
            score,
            crowd,
            area,
        )
        for row, start, end, (area, score, crowd) in zip(read, first[:-1], first[1:], figures, strict=True)
    ]


def match_tubes(iou: Floats, scores: Floats, sizes: Floats, truth: Sequence[Tube]) -> Matches:
    """Matches one category of one video in all ranges of size.

    Args:
        iou: D G, best detection first.
        scores, sizes: D; sizes are mean areas.
        truth: G true tubes; a crowd does not count, nor does one outside the range.
    """
    limits = np.array(list(RANGES.values()))  # R 2
    true_sizes = np.array([tube.area for tube in truth], np.float64)
    crowd = np.array([tube.crowd for tube in truth], bool)
    excused = crowd | (true_sizes < limits[:, :1]) | (true_sizes > limits[:, 1:])
    outside = (sizes < limits[:, :1]) | (sizes > limits[:, 1:])
    return match(iou, scores, excused, outside, crowd, THRESHOLDS)


def statistics(precisions: Sequence[Floats], recalls: Sequence[Mapping[int, Floats]]) -> dict[str, float]:
    """The twelve figures of the official summary from what each category reached."""
    precision = np.stack([*precisions, np.full((*SHAPE, len(RECALLS)), -1.0)])  # C R L 101; the last one counts nothing
    recall = {most: np.stack([*(one[most] for one in recalls), np.full(SHAPE, -1.0)]) for most in LIMITS}
    sizes = {name: k for k, name in enumerate(RANGES) if k}
    return {
        "AP": mean_known(precision[:, 0]),
        "AP50": mean_known(precision[:, 0, 0]),
        "AP75": mean_known(precision[:, 0, 5]),
        **{f"AP_{name}": mean_known(precision[:, k]) for name, k in sizes.items()},
        **{f"AR{most}": mean_known(reached[:, 0]) for most, reached in recall.items()},
        **{f"AR_{name}": mean_known(recall[MOST][:, k]) for name, k in sizes.items()},
    }


def mean_area(per_frame: Sequence[float | None]) -> float:
    """Mean over the frames with any pixel; 0 without one. Raises ValueError and TypeError for what are no numbers."""
    shown = [area for area in per_frame if area]
    return finite(sum(shown) / len(shown)) if shown else 0.0
