"""Average precision of detections with scores, class by class, at one threshold, as COCO takes it (101 recalls).

N detections and G objects of one class on one image.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

RECALLS = np.linspace(0, 1, 101)


class AveragePrecision:
    """Collects images and gives AP per class at an IoU threshold."""

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold
        self._found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
        self._objects: dict[str, int] = defaultdict(int)

    def update(self, name: str, scores: np.ndarray, ious: np.ndarray, excused: np.ndarray) -> None:
        """One class of one image.

        Args:
            scores: N.
            ious: N G, of the detections with the objects.
            excused: N bool: a detection that, if it fits no object, counts as none (in a crowd, say).
        """
        self._objects[name] += ious.shape[1]
        order = np.argsort(-scores, kind="mergesort")
        right = match(ious[order], self.threshold)
        counted = right | ~excused[order]
        self._found[name].append((scores[order][counted], right[counted]))

    def compute(self) -> dict[str, float]:
        """AP in 0..1 of every class that has objects, in alphabetical order."""
        return {
            name: average_precision(*_joined(self._found[name]), objects)
            for name, objects in sorted(self._objects.items())
            if objects
        }


def match(ious: np.ndarray, threshold: float) -> np.ndarray:
    """Which of N detections (best first) finds an object that no better one has found: N G -> N bool."""
    right = np.zeros(len(ious), bool)
    free = np.ones(ious.shape[1], bool)
    for row, overlaps in enumerate(ious):
        candidates = np.where(free, overlaps, -1.0)
        if len(candidates) and candidates.max() >= threshold:
            free[int(candidates.argmax())] = False
            right[row] = True
    return right


def average_precision(scores: np.ndarray, right: np.ndarray, objects: int) -> float:
    """Mean over 101 recalls of the best precision that is reached at that recall or beyond."""
    order = np.argsort(-scores, kind="mergesort")
    hits = np.cumsum(right[order])
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(hits / objects, RECALLS, side="left")
    return float(np.append(envelope, 0.0)[np.minimum(place, len(envelope))].mean())


def _joined(pieces: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    scores, right = zip(*pieces, strict=True)
    return np.concatenate(scores), np.concatenate(right)
