"""Average precision and recall of scored tubes, at several IoU thresholds and for several ranges of tubes at once.

As COCO takes it (101 recalls), video by video. D detections and G true tubes of a category in a video; R ranges (of
size, say: in each some tubes do not count), L IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RECALLS = np.linspace(0, 1, 101)
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Matches(NamedTuple):
    """How the detections of one category fared in one video, best first."""

    scores: Floats
    """D."""
    right: Bools
    """R L D: matched with a true tube that counts."""
    ignored: Bools
    """R L D: counts neither as right nor as wrong."""
    true: NDArray[np.int64]
    """R: true tubes that count."""


def match(iou: Floats, scores: Floats, excused: Bools, outside: Bools, crowd: Bools, thresholds: Floats) -> Matches:
    """Each detection takes the true tube that fits it best and that no better one has taken, at each threshold.

    Args:
        iou: D G, best detection first.
        scores: D.
        excused: R G, true tubes that do not count; they are taken if there is no other, and the detection ignored.
        outside: R D, detections that are ignored if they take none.
        crowd: G, true tubes that may be taken many times.
        thresholds: L; IoU equal to one suffices.

    Of equal IoU the later tube is taken.
    """
    fits = iou[:, None] >= np.minimum(thresholds, 1 - 1e-10)[:, None]  # D L G
    right = np.zeros((len(excused), len(thresholds), len(scores)), bool)
    ignored = np.repeat(outside[:, None], len(thresholds), 1)
    free = np.ones((len(excused), len(thresholds), len(crowd)), bool)
    for d in np.flatnonzero(fits.any((1, 2))):
        possible = fits[d] & (free | crowd)
        proper = possible & ~excused[:, None]
        possible = np.where(proper.any(2, keepdims=True), proper, possible)
        ranked = np.where(possible, iou[d], -1.0)[..., ::-1]
        taken = len(crowd) - 1 - ranked.argmax(2)  # R L
        r, t = np.nonzero(possible.any(2))
        free[r, t, taken[r, t]] = False
        right[r, t, d] = ~excused[r, taken[r, t]]
        ignored[r, t, d] = excused[r, taken[r, t]]
    return Matches(scores, right, ignored, (~excused).sum(1))


def reached_recall(videos: Sequence[Matches], shape: tuple[int, int], most: int | None = None) -> Floats:
    """Share of the true tubes that detections match over all videos, R L; -1 where no true tube counts.

    Args:
        shape: R and L.
        most: detections that are looked at in each video, the best; None for all.
    """
    recall = np.full(shape, -1.0)
    if videos:
        true = np.sum([video.true for video in videos], 0)
        right = np.sum([video.right[..., :most].sum(2) for video in videos], 0)
        recall[true > 0] = right[true > 0] / true[true > 0, None]
    return recall


def precision_at_recalls(videos: Sequence[Matches], shape: tuple[int, int]) -> Floats:
    """Best precision at each of 101 recalls or beyond over all videos, R L 101; 0 beyond the recall that is reached.

    -1 where no true tube counts. Of equal scores the one of the earlier video comes first. `shape` is R and L.
    """
    precision = np.full((*shape, len(RECALLS)), -1.0)
    if not videos:
        return precision
    true = np.sum([video.true for video in videos], 0)
    order = np.argsort(-np.concatenate([video.scores for video in videos]), kind="stable")
    right = np.concatenate([video.right for video in videos], 2)[..., order]
    ignored = np.concatenate([video.ignored for video in videos], 2)[..., order]
    hits, misses = np.cumsum(right, 2), np.cumsum(~right & ~ignored, 2)
    sharp = hits / np.maximum(hits + misses, 1)
    envelope = np.maximum.accumulate(sharp[..., ::-1], 2)[..., ::-1]
    envelope = np.concatenate([envelope, np.zeros((*shape, 1))], 2)
    for r in np.flatnonzero(true):
        for t in range(shape[1]):
            place = np.searchsorted(hits[r, t] / true[r], RECALLS, side="left")
            precision[r, t] = envelope[r, t, place]
    return precision


def mean_known(values: Floats) -> float:
    """Mean of what is not -1; -1 if nothing is."""
    known = values[values > -1]
    return float(known.mean()) if known.size else -1.0
