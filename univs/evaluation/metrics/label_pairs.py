"""Ids that are stored as colours, and how many pixels the ids of two maps share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.masks.mask_files import read_codes

Ids = NDArray[np.integer[Any]]


class SharedPixels(NamedTuple):
    """Pairs of ids that occur at the same pixel: M true ids, M predicted ids, and how many pixels, all int64."""

    truth: NDArray[np.int64]
    prediction: NDArray[np.int64]
    pixels: NDArray[np.int64]


def read_ids(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint32]:
    """The ids R + 256 G + 65536 B of an RGB PNG, H W.

    Args:
        size: height and width that it must have.
    Raises UserError for a missing or broken file, one without colours, or another size.
    """
    ids = read_codes(path)
    if size is not None and ids.shape != size:
        raise UserError(f"{path} is {ids.shape[0]}x{ids.shape[1]} (height x width); expected {size[0]}x{size[1]}")
    return ids


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
