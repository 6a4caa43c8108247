"""How many pixels the ids of two maps share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.integer[Any]]


class SharedPixels(NamedTuple):
    """Pairs of ids that occur at the same pixel: M true ids, M predicted ids, and how many pixels, all int64."""

    truth: NDArray[np.int64]
    prediction: NDArray[np.int64]
    pixels: NDArray[np.int64]


def shared_pixels(truth: Ids, prediction: Ids) -> SharedPixels:
    """How many pixels each pair of ids shares; pairs that share none are left out.

    Args:
        truth, prediction: ids in 0..2**32-1, of one shape. Raises ValueError if their shapes differ.

    Neighbours mostly hold the same pair, so runs are counted, not pixels.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"maps must be of one size, not {truth.shape} and {prediction.shape}")
    true, predicted = truth.reshape(-1), prediction.reshape(-1)
    changes = np.flatnonzero((true[1:] != true[:-1]) | (predicted[1:] != predicted[:-1])) + 1
    starts = np.concatenate([[0], changes]) if len(true) else changes
    lengths = np.diff(np.append(starts, len(true)))
    codes = true[starts].astype(np.int64) << 32 | predicted[starts].astype(np.int64)
    pairs, place = np.unique(codes, return_inverse=True)
    pixels = np.bincount(place, lengths, len(pairs)).astype(np.int64)
    return SharedPixels(pairs >> 32, pairs & 0xFFFFFFFF, pixels)
