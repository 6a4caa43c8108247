"""Semantic maps against each other, and those whose classes are one off, which would score nothing without a word."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VOID = 255
"""A predicted map's number where nothing was found: legal, and wrong wherever something is labelled."""
FEWEST = 3
"""Classes that must be off alike before it is no accident (a floor that is taken for a carpet)."""


def count_classes(truth: NDArray[np.integer], prediction: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Pixels by true (rows) and predicted class, C x C+1, of those whose true class is one of 0..C-1.

    The last column counts those of which the prediction says nothing (`VOID`). Raises ValueError, with the number, for
    a prediction that is neither a class nor that.
    """
    known = (truth >= 0) & (truth < classes)
    true, predicted = truth[known].astype(np.int64), prediction[known].astype(np.int64)
    strange = (predicted < 0) | ((predicted >= classes) & (predicted != VOID))
    if strange.any():
        raise ValueError(int(predicted[strange].max()))
    pairs = true * (classes + 1) + np.where(predicted == VOID, classes, predicted)
    return np.bincount(pairs, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def off_by_one(confusion: NDArray[np.int64]) -> int:
    """By how much predicted classes are off: -1 or 1 if most true classes are mostly predicted as their neighbour.

    Args:
        confusion: pixels by true (rows) and predicted class, C x C or more columns.
    """
    count = len(confusion)
    total = confusion.sum(1)
    present = total > 0
    for shift in (-1, 1):
        beside = np.zeros(count, np.int64)
        places = np.arange(max(0, -shift), count - max(0, shift))
        beside[places] = confusion[places, places + shift]
        off = present & (2 * beside > total)
        if off.sum() >= FEWEST and 2 * off.sum() > present.sum():
            return shift
    return 0
