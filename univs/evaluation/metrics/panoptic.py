"""Panoptic quality of segments and of tubes: what matches, what is missed, what is found for nothing.

Source: Kirillov et al., "Panoptic Segmentation", CVPR 2019 (PQ); Kim et al., "Video Panoptic Segmentation", CVPR 2020
(VPQ: the same with tubes over windows of k frames). Conventions at the edges are those of panopticapi and of the
VIPSeg tool. T frames, G true ids, P predicted ids, C categories, K pairs of ids that meet, W windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from univs.evaluation.metrics.label_pairs import SharedPixels

VOID = 0
"""The id of pixels of which nothing is known (truth) or said (prediction)."""
Integers = NDArray[np.int64]


class Segment(NamedTuple):
    """A segment of one frame as its JSON lists it; the area counts for true ones only."""

    number: int
    category: int
    crowd: bool = False
    area: int = 0


class PanopticFrame(NamedTuple):
    """What counts of one frame: its listed segments and the pixels that ids share."""

    truth: Sequence[Segment]
    prediction: Sequence[Segment]
    shared: SharedPixels


@dataclass(frozen=True)
class PanopticTally:
    """Sum of the IoU of matches, matches, false positives and false negatives; C each. Tallies add up."""

    iou: NDArray[np.float64]
    tp: Integers
    fp: Integers
    fn: Integers

    @classmethod
    def nothing(cls, categories: int) -> PanopticTally:
        """The tally of no frame."""
        return cls(np.zeros(categories), *(np.zeros(categories, np.int64) for _ in range(3)))

    def __add__(self, other: PanopticTally) -> PanopticTally:
        return PanopticTally(self.iou + other.iou, self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which categories occur at all, in truth or prediction."""
        return self.tp + self.fp + self.fn > 0

    @property
    def quality(self) -> NDArray[np.float64]:
        """PQ, SQ and RQ in 0..1, 3 x C; 0 where nothing matches."""
        size = np.where(self.seen, self.tp + 0.5 * self.fp + 0.5 * self.fn, 1.0)
        return np.stack([self.iou / size, self.iou / np.maximum(self.tp, 1), self.tp / size])

    def means(self, among: NDArray[np.bool_]) -> dict[str, float]:
        """pq, sq, rq averaged over the categories (C bool) that occur, and n, their number; NaN if there is none."""
        chosen = self.seen & among
        count = int(chosen.sum())
        values = self.quality[:, chosen].mean(1) if count else np.full(3, np.nan)
        return {**dict(zip(("pq", "sq", "rq"), map(float, values), strict=True)), "n": count}

    def groups(self, thing: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
        """The means of all categories, of those that are things (C bool), and of the others."""
        return {"All": self.means(np.ones_like(thing)), "Things": self.means(thing), "Stuff": self.means(~thing)}


class Tubes:
    """The tubes of one video, ready to be matched over windows of any length.

    Pixels that ids share are added up along time once, so that a window is a difference of two sums.
    """

    def __init__(self, frames: Sequence[PanopticFrame], categories: Mapping[int, int]) -> None:
        """categories: category id -> its place in 0..C-1; holds every category of `frames`."""
        self.categories = len(categories)
        length = len(frames)
        self._true = _in_order(frame.truth for frame in frames)
        self._predicted = _in_order(frame.prediction for frame in frames)
        # Per frame: 2 x place of the category (+ 1 for a crowd); -1 where the id is not listed.
        self._true_kind = np.full((length, len(self._true)), -1, np.int64)
        self._predicted_kind = np.full((length, len(self._predicted)), -1, np.int64)
        self._rank = np.zeros((length, len(self._true)), np.int64)
        true_area = np.zeros((length, len(self._true)), np.int64)
        predicted_area = np.zeros((length, len(self._predicted)), np.int64)
        void = np.zeros((length, len(self._predicted)), np.int64)
        for t, frame in enumerate(frames):
            for rank, (number, category, crowd, area) in enumerate(frame.truth):
                column = self._true[number]
                self._true_kind[t, column] = 2 * categories[category] + crowd
                true_area[t, column] = area
                self._rank[t, column] = rank
            for number, category, *_ in frame.prediction:
                self._predicted_kind[t, self._predicted[number]] = 2 * categories[category]
            columns = _places(frame.shared.prediction, self._predicted)
            known = columns >= 0
            np.add.at(predicted_area[t], columns[known], frame.shared.pixels[known])
            known &= frame.shared.truth == VOID
            np.add.at(void[t], columns[known], frame.shared.pixels[known])
        predicted_area[self._predicted_kind < 0] = 0
        self._true_area, self._predicted_area, self._void = map(_running, (true_area, predicted_area, void))
        self._pairs, self._shared = self._share(frames)

    def _share(self, frames: Sequence[PanopticFrame]) -> tuple[Integers, Integers]:
        """Pairs of places of true and predicted ids that meet, 2 x K, and their pixels up to each frame, T+1 x K."""
        codes, pixels = [], []
        for frame in frames:
            rows, columns = _places(frame.shared.truth, self._true), _places(frame.shared.prediction, self._predicted)
            known = (rows >= 0) & (columns >= 0)
            codes.append(rows[known] * max(len(self._predicted), 1) + columns[known])
            pixels.append(frame.shared.pixels[known])
        pairs = np.unique(np.concatenate([*codes, np.zeros(0, np.int64)]))
        table = np.zeros((len(frames), len(pairs)), np.int64)
        for t, (code, count) in enumerate(zip(codes, pixels, strict=True)):
            table[t, np.searchsorted(pairs, code)] = count
        return np.stack(np.divmod(pairs, max(len(self._predicted), 1))), _running(table)

    def tally(self, window: int) -> PanopticTally:
        """All windows of so many consecutive frames, one frame apart; none if the video is shorter.

        A tube has the category of the first frame of the window that lists it. Two tubes of one category, not a crowd,
        match if their IoU (true void left out of the union) is above 0.5. What is predicted counts as false unless it
        matches, or lies by more than half on void and the crowd of its category (the last one listed of several).
        """
        if window > len(self._true_kind):
            return PanopticTally.nothing(self.categories)
        true_kind, predicted_kind = _first(self._true_kind, window), _first(self._predicted_kind, window)
        areas = (self._true_area, self._predicted_area, self._void, self._shared)
        true_area, predicted_area, void, shared = (total[window:] - total[:-window] for total in areas)
        rows, columns = self._pairs
        same = (true_kind[:, rows] >= 0) & (true_kind[:, rows] == predicted_kind[:, columns]) & (shared > 0)
        union = predicted_area[:, columns] + true_area[:, rows] - shared - void[:, columns]
        iou = np.where(same, shared / np.where(same & (union > 0), union, 1), 0.0)
        matched_window, matched_pair = np.nonzero(iou > 0.5)
        found = np.zeros(true_kind.shape, bool)
        found[matched_window, rows[matched_pair]] = True
        right = np.zeros(predicted_kind.shape, bool)
        right[matched_window, columns[matched_pair]] = True
        excused = void + self._on_crowd(true_kind, predicted_kind, found, shared, window)
        missed = (true_kind >= 0) & (true_kind % 2 == 0) & ~found
        false = (predicted_kind >= 0) & ~right & ~(excused / np.maximum(predicted_area, 1) > 0.5)
        place = true_kind[matched_window, rows[matched_pair]] // 2
        counts = (place, predicted_kind[false] // 2, true_kind[missed] // 2)
        return PanopticTally(
            np.bincount(place, iou[matched_window, matched_pair], self.categories).astype(np.float64),
            *(np.bincount(count, minlength=self.categories).astype(np.int64) for count in counts),
        )

    def _on_crowd(
        self, true_kind: Integers, predicted_kind: Integers, found: NDArray[np.bool_], shared: Integers, window: int
    ) -> Integers:
        """Pixels of every predicted tube that lie on the crowd of its category, W x P."""
        pixels = np.zeros(predicted_kind.shape, np.int64)
        for start in np.flatnonzero(((true_kind % 2 == 1) & (true_kind >= 0)).any(1)):
            crowds = np.flatnonzero((true_kind[start] >= 0) & (true_kind[start] % 2 == 1))
            listed = self._true_kind[start : start + window, crowds] >= 0
            first = listed.argmax(0)
            order = np.lexsort([self._rank[start + first, crowds], first])
            last = {int(true_kind[start, k]) - 1: int(k) for k in crowds[order]}
            for row, column, count in zip(*self._pairs, shared[start], strict=True):
                if last.get(int(predicted_kind[start, column])) == row:
                    pixels[start, column] += count
        return pixels


def _in_order(frames: Iterable[Sequence[Segment]]) -> dict[int, int]:
    """The ids that any frame lists -> their places, in the order in which they are listed first."""
    places: dict[int, int] = {}
    for segments in frames:
        for segment in segments:
            places.setdefault(segment.number, len(places))
    return places


def _places(numbers: Integers, places: Mapping[int, int]) -> Integers:
    """The place of each id; -1 of those without one."""
    return np.array([places.get(number, -1) for number in numbers.tolist()], np.int64)


def _running(table: Integers) -> Integers:
    """Sums over the frames before each frame, T x N -> T+1 x N."""
    return np.concatenate([np.zeros((1, table.shape[1]), np.int64), np.cumsum(table, 0)])


def _first(kinds: Integers, window: int) -> Integers:
    """What the first frame that says anything (not -1) says, of each window: T x N -> W x N."""
    count = len(kinds) - window + 1
    first = np.full((count, kinds.shape[1]), -1, np.int64)
    for offset in reversed(range(window)):
        later = kinds[offset : offset + count]
        first = np.where(later >= 0, later, first)
    return first
