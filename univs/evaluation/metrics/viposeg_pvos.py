"""`univs score viposeg_pvos`: panoptic video object segmentation on the VIPOSeg layout.

Source: Xu et al., "Video Object Segmentation in Panoptic Wild Scenes", IJCAI 2023; rules are those of
yoxu515/VIPOSeg-Benchmark. Label maps are indexed PNG of object ids, 0 for background. An object is scored from the
frame after the one that shows it (`Annotations`) to the end of the video. Figures are fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from univs.errors import UserError
from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.score_files import (
    LabelFolders,
    frame_names,
    need_folder,
    read_json,
    read_labels,
    read_pair,
    video_names,
)
from univs.evaluation.metrics.scores import Progress, Scores, quiet
from univs.fields import whole
from univs.vocabularies import vocabulary

BoolMask = NDArray[np.bool_]
Key = TypeVar("Key")

UNSEEN = frozenset(
    {46, 47, 55, 61, 64, 72, 86, 95, 96, 97, 99, 100, 101, 102, 109, 116, 118}
    | {5, 6, 9, 17, 20, 25, 26, 34, 38, 57, 58, 71, 81, 94, 112, 113, 120}
)
"""Classes of VIPSeg, things and stuff, that the training videos of VIPOSeg do not show."""
OTHER_MACHINE = 98
OTHER_MACHINE_UNSEEN = frozenset(
    "187_WUZUSD4477I 319_l1Dz12fxQzQ 320_nhKXemkIvh4 517_AWvYuplla_s 532_QmZyJuLlEec 774_devdFjIpDcc 1016_HG0AsTOxI5g "
    "1017_IAU0WGB9VPw 1020_TgCIv6bp3XM 1021_cPOxAMo28yk 1022_emSaDd2ddj0 1033_sh81AwYuihg 1065_d2sHRyAHKqI "
    "1067_fk3jhxBi1pA 1068_gxnZkf0LQfk 1069_jFHRbZxswz8 1070_uTJB31tuYes 1072_zvNEdUk5k0Q 1230_AGY-gQ_3O8Y "
    "1333__iprMPKLdOQ 1334_qlmfvYA3_rk 2004_1btxeVbyojs 2005_83KrhWajwfw".split()
)
"""Videos whose "other machine" (stuff) is of a kind that is not trained on; in all others it is seen."""
GROUPS = ("thing_seen", "thing_unseen", "stuff_seen", "stuff_unseen")
BAND = 0.02
"""Width of the boundary band as a share of the diagonal of the image."""
MOST_OBJECTS = 60
"""The decay is fitted below this number of objects."""


@dataclass(frozen=True)
class Video(LabelFolders):
    """A video to score, with the folder of the maps that show its objects and the classes of these."""

    given: Path
    classes: dict[int, int]


class Tally(NamedTuple):
    """Sums of mask IoU and boundary IoU over pairs of object and frame, and how many these are."""

    mask: float = 0.0
    boundary: float = 0.0
    pairs: int = 0

    def plus(self, mask: float, boundary: float, pairs: int = 1) -> Tally:
        """With so many more."""
        return Tally(self.mask + mask, self.boundary + boundary, self.pairs + pairs)

    @property
    def means(self) -> tuple[float, float, float]:
        """Of mask, boundary and both; NaN without any."""
        if not self.pairs:
            return (float("nan"),) * 3
        mask, boundary = self.mask / self.pairs, self.boundary / self.pairs
        return mask, boundary, (mask + boundary) / 2


class VideoTally(NamedTuple):
    """What is kept of a video: sums by group, and by the number of objects known at the time."""

    groups: dict[str, Tally]
    crowded: dict[int, Tally]


def score(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """All figures of a folder of predictions. Raises UserError for whatever is wrong with the files."""
    videos = find_videos(gt, pred)
    measured = score_videos(measure_video, videos, workers, progress, [len(video.frames) for video in videos])
    figures = group_figures([video.groups for video in measured])
    figures["decay"] = decay(_together([video.crowded for video in measured]))
    summary = {"G": figures["overall_iou"]} | {f"{name}_iou": figures[f"{name}_iou"] for name in GROUPS}
    rows = {}
    for video, one in zip(videos, measured, strict=True):
        own = group_figures([one.groups])
        rows[video.name] = {f"{name}_iou": own[f"{name}_iou"] for name in GROUPS}
    return Scores(figures, {**summary, "decay": figures["decay"]}, rows)


def measure_video(video: Video) -> VideoTally:
    """The sums of one video. Raises UserError for broken maps and for objects without a class."""
    groups = dict.fromkeys(GROUPS, Tally())
    crowded: dict[int, Tally] = {}
    objects: list[int] = []
    given = set(frame_names(video.given))
    for frame in video.frames:
        truth, prediction = read_pair(*video.files(frame))
        for number in objects:
            mask, boundary = mask_and_boundary_iou(prediction == number, truth == number)
            group = group_of(video.classes[number], video.name)
            if group:
                groups[group] = groups[group].plus(mask, boundary)
            crowded[len(objects)] = crowded.get(len(objects), Tally()).plus(mask, boundary)
        if frame in given:
            path = video.given / f"{frame}.png"
            new = [int(number) for number in np.unique(read_labels(path, (truth.shape[0], truth.shape[1]))) if number]
            unknown = [number for number in new if number not in video.classes]
            if unknown:
                raise UserError(f"{path} shows object {unknown[0]}, which obj_class.json gives no class")
            objects += new
    return VideoTally(groups, crowded)


def mask_and_boundary_iou(prediction: BoolMask, truth: BoolMask) -> tuple[float, float]:
    """IoU of two H x W masks and of their boundary bands; both 1 if both are empty, both 0 if only one is."""
    predicted, true = bool(prediction.any()), bool(truth.any())
    if not (predicted and true):
        return (float(predicted == true),) * 2
    steps = max(1, round(BAND * float(np.hypot(*truth.shape))))
    return _iou(prediction, truth), _iou(boundary_band(prediction, steps), boundary_band(truth, steps))


def boundary_band(mask: BoolMask, steps: int) -> BoolMask:
    """What so many erosions by a 3 x 3 square take off an H x W mask; outside the image is background."""
    # All erosions together: the smallest value of a square of 2 steps + 1, looked for where the mask is.
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    band = np.zeros_like(mask)
    if len(rows):
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        inside = mask[box].view(np.uint8)
        core = ndimage.minimum_filter(inside, 2 * steps + 1, mode="constant", cval=0)
        band[box] = inside != core
    return band


def group_of(category: int, video: str) -> str | None:
    """The group of a class (in a video); None if it is in none."""
    known = vocabulary("viposeg")
    if not 0 <= category < len(known.names):
        return None
    unseen = video in OTHER_MACHINE_UNSEEN if category == OTHER_MACHINE else category in UNSEEN
    return f"{'thing' if category in (known.things or ()) else 'stuff'}_{'unseen' if unseen else 'seen'}"


def group_figures(videos: Sequence[Mapping[str, Tally]]) -> dict[str, float]:
    """Means over all pairs of object and frame of each group, and the mean of the four groups; NaN without a pair."""
    means = {name: group.means for name, group in _together(videos).items()}
    figures = {f"{name}_miou": means[name][0] for name in GROUPS}
    figures |= {f"{name}_biou": means[name][1] for name in GROUPS}
    figures |= {f"{name}_iou": means[name][2] for name in GROUPS}
    figures["overall_iou"] = sum(figures[f"{name}_iou"] for name in GROUPS) / len(GROUPS)
    return figures


def decay(crowded: Mapping[int, Tally]) -> float:
    """How quickly IoU falls with the number n of objects: the d of IoU = exp(-d n / 100) that fits best.

    Least squares on the logarithm of the mean of each n, each n alike; NaN if nothing was scored, infinite if the mean
    of some n is 0.
    """
    points = [(number, tally.means[2]) for number, tally in crowded.items() if number < MOST_OBJECTS]
    if not points:
        return float("nan")
    n = np.array([number for number, _ in points]) / 100
    with np.errstate(divide="ignore"):
        losses = -np.log([value for _, value in points])
    return float(n @ losses / (n @ n))


def find_videos(gt: Path, pred: Path) -> list[Video]:
    """The videos of Annotations_gt. Raises UserError for what is missing."""
    need_folder(gt, "Annotations_gt, Annotations and obj_class.json")
    root = gt / "Annotations_gt"
    need_folder(pred, "VIDEO/*.png")
    classes = read_json(gt / "obj_class.json", "video -> object -> class")
    names = video_names(root, "VIDEO/*.png")
    videos = []
    for name in names:
        try:
            own = {int(number): whole(category) for number, category in classes[name].items()}
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{gt / 'obj_class.json'} gives no classes for {name}; expected object -> class") from error
        given = need_folder(gt / "Annotations" / name, "the frames in which objects first appear")
        videos.append(Video.find(name, root / name, pred / name, given=given, classes=own))
    return videos


def _together(parts: Sequence[Mapping[Key, Tally]]) -> dict[Key, Tally]:
    sums: dict[Key, Tally] = {}
    for part in parts:
        for key, tally in part.items():
            sums[key] = sums.get(key, Tally()).plus(*tally)
    return sums


def _iou(one: BoolMask, other: BoolMask) -> float:
    union = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / union if union else 0.0
