"""Label maps as texts: for each id on a map the compressed run lengths of its mask (see `run_lengths`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from univs.masks.run_lengths import check_runs, decode_counts
from univs.results import encode_rle


def label_texts(labels: np.ndarray) -> dict[int, str]:
    """Id -> compressed counts of its mask, ascending, of a label map H W uint8; 0 is left out."""
    return {int(number): encode_rle(labels == number)["counts"] for number in np.unique(labels) if number}


def labels_of_texts(texts: Mapping[int, str], size: tuple[int, int]) -> np.ndarray:
    """The label map H W uint8 of masks that do not overlap; 0 where none lies.

    All masks are drawn at once: each adds its id where a run inside begins and takes it away where that run ends, and
    the sums down the columns are the labels. Raises BrokenRunsError for texts that are no masks of this size.
    """
    pixels = size[0] * size[1]
    runs = decode_counts(list(texts.values()))
    check_runs(runs, pixels)
    first, counts = runs.starts[:-1], np.diff(runs.starts)
    lengths = np.zeros(int(runs.starts[-1]), np.int64)
    lengths[0::2], lengths[1::2] = runs.even, runs.odd
    masks = np.repeat(np.arange(len(texts)), counts)
    ends = np.cumsum(lengths) - pixels * masks  # each mask fills the whole map
    inside = (np.arange(len(lengths)) - np.repeat(first, counts)) % 2 == 1
    ids = np.fromiter(texts, np.int64, len(texts))[masks]
    steps = np.bincount(ends, np.where(inside, -ids, ids), minlength=pixels + 1)[:pixels]
    labels = np.cumsum(steps).astype(np.int64).astype(np.uint8)
    return np.ascontiguousarray(labels.reshape(size, order="F"))
