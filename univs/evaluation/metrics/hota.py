"""HOTA: how well objects are found (DetA) and kept apart (AssA), at 19 thresholds of localisation.

Source: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021; conventions at the
edges are those of TrackEval. Figures are fractions. T frames; G true and P predicted identities of one class and
sequence; g and p of them in a frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
EPSILON = float(np.finfo(float).eps)
ALPHAS = np.arange(0.05, 0.99, 0.05)
"""The thresholds of IoU, .05 to .95."""
SHAPES = ("HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA", "OWTA")
"""Figures that there are of each threshold."""


class TrackedFrame(NamedTuple):
    """One frame: true identities (g), predicted ones (p), and their IoU (g x p). No identity comes twice."""

    truth: Integers
    prediction: Integers
    iou: Floats


class Tracking(NamedTuple):
    """One class of one sequence, identities counted from 0: the frames, G and P."""

    frames: list[TrackedFrame]
    true_count: int
    predicted_count: int

    @property
    def true_detections(self) -> int:
        """Over all frames."""
        return sum(len(frame.truth) for frame in self.frames)

    @property
    def predicted_detections(self) -> int:
        """Over all frames."""
        return sum(len(frame.prediction) for frame in self.frames)


def renumber(frames: Sequence[TrackedFrame]) -> Tracking:
    """The same with identities counted from 0 in the order of their numbers."""
    none = np.zeros(0, np.int64)
    true = np.unique(np.concatenate([none, *(frame.truth for frame in frames)]))
    predicted = np.unique(np.concatenate([none, *(frame.prediction for frame in frames)]))
    again = [
        TrackedFrame(np.searchsorted(true, frame.truth), np.searchsorted(predicted, frame.prediction), frame.iou)
        for frame in frames
    ]
    return Tracking(again, len(true), len(predicted))


@dataclass(frozen=True)
class HotaTally:
    """Sums over true positives at each threshold (19 each); tallies of sequences and of classes add up.

    Attributes:
        tp, fn, fp: detections matched, missed, and for nothing.
        association, association_recall, association_precision: of the true positives, how much of both tracks, of the
            true and of the predicted one is matched in the same way.
        iou: of the true positives.
    """

    tp: Floats
    fn: Floats
    fp: Floats
    association: Floats
    association_recall: Floats
    association_precision: Floats
    iou: Floats

    @classmethod
    def nothing(cls) -> HotaTally:
        """The tally of no sequence."""
        return cls(*(np.zeros(len(ALPHAS)) for _ in fields(cls)))

    def __add__(self, other: HotaTally) -> HotaTally:
        return HotaTally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def figures(self) -> dict[str, Floats]:
        """HOTA and what it is made of, at each threshold. Without a true positive LocA is 1, the others 0."""
        found, right = np.maximum(1, self.tp + self.fn), np.maximum(1, self.tp + self.fp)
        parts = {
            "DetA": self.tp / np.maximum(1, self.tp + self.fn + self.fp),
            "AssA": self.association / np.maximum(1, self.tp),
            "DetRe": self.tp / found,
            "DetPr": self.tp / right,
            "AssRe": self.association_recall / np.maximum(1, self.tp),
            "AssPr": self.association_precision / np.maximum(1, self.tp),
            "LocA": np.maximum(1e-10, self.iou) / np.maximum(1e-10, self.tp),
        }
        hota = np.sqrt(parts["DetA"] * parts["AssA"])
        return {"HOTA": hota, **parts, "OWTA": np.sqrt(parts["DetRe"] * parts["AssA"])}


def averaged(classes: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    """The mean of the figures of several classes, at each threshold."""
    return {name: np.mean([figures[name] for figures in classes], 0) for name in SHAPES}


def measure_hota(tracking: Tracking) -> HotaTally:
    """HOTA of one class of one sequence.

    In each frame the assignment maximises the sum of IoU times how well the two identities go together over the whole
    sequence; pairs of it whose IoU reaches the threshold are true positives.
    """
    frames, true_count, predicted_count = tracking
    together = np.zeros((true_count, predicted_count))
    true_frames, predicted_frames = np.zeros((true_count, 1)), np.zeros((1, predicted_count))
    for truth, prediction, iou in frames:
        union = iou.sum(0)[None] + iou.sum(1)[:, None] - iou
        together[truth[:, None], prediction] += np.where(union > EPSILON, iou / np.where(union > EPSILON, union, 1), 0)
        true_frames[truth, 0] += 1
        predicted_frames[0, prediction] += 1
    either = true_frames + predicted_frames
    alignment = together / np.where(either > together, either - together, 1)

    tp, missed, false, located = (np.zeros(len(ALPHAS)) for _ in range(4))
    matched = np.zeros((len(ALPHAS), true_count, predicted_count))
    for truth, prediction, iou in frames:
        rows, columns = linear_sum_assignment(alignment[truth[:, None], prediction] * iou, maximize=True)
        values = iou[rows, columns]
        reached = values >= ALPHAS[:, None] - EPSILON
        count = reached.sum(1)
        tp += count
        missed += len(truth) - count
        false += len(prediction) - count
        located += np.where(reached, values, 0).sum(1)
        matched[:, truth[rows], prediction[columns]] += reached
    return HotaTally(
        tp,
        missed,
        false,
        (matched * matched / np.maximum(1, either - matched)).sum((1, 2)),
        (matched * matched / np.maximum(1, true_frames)).sum((1, 2)),
        (matched * matched / np.maximum(1, predicted_frames)).sum((1, 2)),
        located,
    )
