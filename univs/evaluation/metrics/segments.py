"""Mask IoU of each task's answers, frame by frame: objects, tracks of a class, semantic maps, panoptic tubes.

With these the built-in world is scored. They are fed the frames of one video in order, keep numbers
of pixels and never masks, and give a `Tally`; a full score is 1 for every key. Truth maps are H x W with ids of
segments, 0 where nothing is labelled (which counts as background) and 255 where nothing is known (which is left out).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from univs.evaluation.metrics.tallies import Tally
from univs.masks.meanings import IGNORE

Labels = NDArray[np.integer]
Masks = Mapping[int, NDArray[np.bool_]]


class FollowedObjects:
    """Mean J of objects that were asked for: key -> its J over the frames after the one on which it was given.

    A frame without the object, in truth and in the answer, counts as 1.
    """

    def __init__(
        self, keys: Mapping[int, str], first: Mapping[int, int], truths: Mapping[int, int] | None = None
    ) -> None:
        """keys: id in the answers -> key. first: id -> first frame to score. truths: id -> its id in the truth."""
        self._keys, self._first = dict(keys), dict(first)
        self._truths = dict(truths) if truths is not None else {number: number for number in keys}
        self._figures: dict[int, list[float]] = {number: [] for number in keys}

    def update(self, frame_index: int, mask: Callable[[int], NDArray[np.bool_]], truth: Labels) -> None:
        """Takes a frame: `mask` gives the H x W bool mask of an id."""
        known = truth != IGNORE
        for number, figures in self._figures.items():
            if frame_index >= self._first[number]:
                answer, right = mask(number) & known, truth == self._truths[number]
                union = int(np.count_nonzero(answer | right))
                figures.append(int(np.count_nonzero(answer & right)) / union if union else 1.0)

    def compute(self) -> Tally:
        """Objects without a frame to score are left out."""
        figures = {self._keys[number]: values for number, values in self._figures.items() if values}
        return {key: (sum(values) / len(values), 1.0) for key, values in figures.items()}


class Overlaps:
    """Pixels that answered and true segments share over a video; answered segments may overlap."""

    def __init__(self) -> None:
        self._shared = np.zeros((0, IGNORE + 1), np.int64)  # answered segment, true segment
        self._row: dict[int, int] = {}
        self._true = np.zeros(IGNORE + 1, np.int64)

    def update(self, masks: Masks, truth: Labels) -> None:
        """Takes a frame: id -> H x W bool, and the truth."""
        for number, mask in masks.items():
            self._add(number, np.bincount(truth[mask].astype(np.int64), minlength=IGNORE + 1))
        self._true += np.bincount(truth.reshape(-1).astype(np.int64), minlength=IGNORE + 1)

    def update_labels(self, labels: Labels, truth: Labels) -> None:
        """The same for a map of ids, 0 where there is no answer."""
        numbers, rows = np.unique(labels, return_inverse=True)
        pairs = rows.reshape(-1).astype(np.int64) * (IGNORE + 1) + truth.reshape(-1)
        shared = np.bincount(pairs, minlength=len(numbers) * (IGNORE + 1)).reshape(len(numbers), -1)
        for number, counts in zip(numbers.tolist(), shared, strict=True):
            if number:
                self._add(int(number), counts)
        self._true += np.bincount(truth.reshape(-1).astype(np.int64), minlength=IGNORE + 1)

    def _add(self, number: int, counts: NDArray[np.int64]) -> None:
        if number not in self._row:
            self._row[number] = len(self._shared)
            self._shared = np.concatenate([self._shared, np.zeros((1, IGNORE + 1), np.int64)])
        self._shared[self._row[number]] += counts

    @property
    def answered(self) -> list[int]:
        """Ids of the answered segments that cover any known pixel."""
        return [number for number, row in self._row.items() if self._shared[row, :IGNORE].any()]

    @property
    def true(self) -> list[int]:
        """Ids of the true segments."""
        return [int(number) for number in np.flatnonzero(self._true[:IGNORE]) if number]

    def iou(self, answered: Iterable[int], true: Iterable[int]) -> NDArray[np.float64]:
        """IoU over the whole video of each of these answered segments (rows) with each of these true ones."""
        columns = list(true)
        rows = self._shared[[self._row[number] for number in answered]].reshape(-1, IGNORE + 1)
        shared = rows[:, columns]
        union = rows[:, :IGNORE].sum(1)[:, None] + self._true[columns] - shared
        return shared / np.maximum(union, 1)

    def class_iou(self, names: Mapping[int, str], true_names: Mapping[int, str]) -> Tally:
        """Class -> pixels shared by, and pixels covered by either of, the answered and the true segments of its name.

        Summed over videos and averaged, this is the mIoU of semantic maps. Pixels whose true segment has no name are
        left out, as those of which nothing is known.
        """
        known = [number for number in self.true if number in true_names]
        shared: dict[str, int] = {}
        answered: dict[str, int] = {}
        right: dict[str, int] = {}
        for number in known:
            name = true_names[number]
            right[name] = right.get(name, 0) + int(self._true[number])
        for number, row in self._row.items():
            name = names.get(number, "")
            answered[name] = answered.get(name, 0) + int(self._shared[row, known].sum())
            same = [column for column in known if true_names[column] == name]
            shared[name] = shared.get(name, 0) + int(self._shared[row, same].sum())
        unions = {
            name: answered.get(name, 0) + right.get(name, 0) - shared.get(name, 0) for name in {*answered, *right}
        }
        return {name: (shared.get(name, 0), union) for name, union in sorted(unions.items()) if name and union}


def matched_tracks(overlaps: Overlaps, names: Mapping[int, str], true_names: Mapping[int, str]) -> Tally:
    """Tracks: class -> sum of the IoU of its true tracks with the answered ones of that class, and number of true ones.

    Every track takes part in one match at most, such that the sum is the largest. Tracks too many cost nothing here.
    """
    tally: Tally = {}
    for name in sorted({true_names[number] for number in overlaps.true if number in true_names}):
        rows = [number for number in overlaps.answered if names.get(number) == name]
        columns = [number for number in overlaps.true if true_names.get(number) == name]
        iou = overlaps.iou(rows, columns)
        chosen = linear_sum_assignment(iou, maximize=True)
        tally[name] = (float(iou[chosen].sum()), float(len(columns)))
    return tally


def panoptic_quality(overlaps: Overlaps, names: Mapping[int, str], true_names: Mapping[int, str]) -> Tally:
    """Panoptic tubes: class -> sum of the IoU of matches, and matches + half of the segments without one.

    A match is an answered and a true segment of one class that overlap by more than half over the whole video (Kirillov
    et al., "Panoptic Segmentation", CVPR 2019, with tubes for segments), so a segment has one match at most.
    """
    tally: Tally = {}
    answered = [number for number in overlaps.answered if number in names]
    true = [number for number in overlaps.true if number in true_names]
    for name in sorted({names[number] for number in answered} | {true_names[number] for number in true}):
        rows = [number for number in answered if names[number] == name]
        columns = [number for number in true if true_names[number] == name]
        iou = overlaps.iou(rows, columns)
        matches = iou[iou > 0.5]
        tally[name] = (float(matches.sum()), (len(rows) + len(columns)) / 2)
    return tally
