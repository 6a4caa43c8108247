"""The measures of VOT: accuracy, robustness, expected average overlap, of trackers that are begun anew when they fail.

Sources: Kristan et al., "A Novel Performance Evaluation Methodology for Single-Target Trackers", PAMI 2016; Kristan et
al., "The Visual Object Tracking VOT2015 Challenge Results", ICCVW 2015, section 4 (expected average overlap). Frames of
a sequence are counted from 0; overlaps are IoU, NaN where nothing is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BURN_IN = 10
"""Frames from each beginning that do not count in the accuracy: there overlaps are higher than they will be."""
MASS = 0.5
"""Share of sequence lengths that are typical."""


@dataclass(frozen=True)
class Track:
    """One run over one sequence.

    overlaps: of each frame with the truth; NaN on the frames of beginnings, of failures, on those that are passed over,
    and where nothing is known. begun, failed: the frames on which it was begun and had failed, ascending.
    """

    overlaps: Array
    begun: tuple[int, ...]
    failed: tuple[int, ...]


@dataclass(frozen=True)
class Fragment:
    """From a beginning to a failure or to the end: overlaps of the frames behind the first, 0 where it failed."""

    overlaps: Array
    failed: bool

    def __len__(self) -> int:
        """Frames, that of the beginning among them."""
        return len(self.overlaps) + 1


def counted_overlaps(track: Track) -> Array:
    """The overlaps that count in the accuracy: those behind the burn-in."""
    kept = track.overlaps.copy()
    for start in track.begun:
        kept[start : start + BURN_IN] = np.nan
    return kept[~np.isnan(kept)]


def accuracy(tracks: Sequence[Track]) -> float:
    """Mean overlap over the frames of all runs; NaN if no frame counts."""
    counted = np.concatenate([counted_overlaps(track) for track in tracks]) if tracks else np.empty(0)
    return float(counted.mean()) if len(counted) else float("nan")


def failure_rate(tracks: Sequence[Track]) -> float:
    """Failures in a hundred frames."""
    return 100 * sum(len(track.failed) for track in tracks) / sum(len(track.overlaps) for track in tracks)


def fragments(track: Track) -> list[Fragment]:
    """A run cut at its beginnings; frames of which nothing is known are left out."""
    found = []
    for number, start in enumerate(track.begun):
        until = track.begun[number + 1] if number + 1 < len(track.begun) else len(track.overlaps)
        end = next((frame for frame in track.failed if start < frame < until), None)
        overlaps = track.overlaps[start + 1 : until if end is None else end]
        overlaps = overlaps[~np.isnan(overlaps)]
        found.append(Fragment(overlaps if end is None else np.append(overlaps, 0.0), end is not None))
    return found


def expected_overlaps(parts: Sequence[Fragment], longest: int) -> Array:
    """Overlap to be expected on a sequence of N frames, at place N: longest + 1, NaN where nothing tells it.

    The mean over parts of their mean overlap on the N - 1 frames behind the first. After a failure all overlaps are 0;
    parts that end before, unfailed, tell nothing.
    """
    curve = np.full(longest + 1, np.nan)
    sums = [np.concatenate([[0.0], np.cumsum(part.overlaps)]) for part in parts]
    for length in range(2, longest + 1):
        means = [
            float(total[min(length - 1, len(total) - 1)]) / (length - 1)
            for part, total in zip(parts, sums, strict=True)
            if part.failed or len(part) >= length
        ]
        if means:
            curve[length] = np.mean(means)
    return curve


def expected_average_overlap(tracks: Sequence[Track], lengths: tuple[int, int]) -> float:
    """Mean of the overlaps to be expected on sequences of low to high frames; NaN where no length tells anything."""
    parts = [part for track in tracks for part in fragments(track)]
    low, high = lengths
    curve = expected_overlaps(parts, high)[low : high + 1]
    known = curve[~np.isnan(curve)]
    return float(known.mean()) if len(known) else float("nan")


def typical_lengths(lengths: Sequence[int]) -> tuple[int, int]:
    """Low and high number of frames of typical sequences: around the most likely length, half of all.

    Lengths are smoothed by a Gaussian (Scott's rule); both ends are about equally likely (VOT2015, section 4). Of equal
    lengths that length alone.
    """
    if len(set(lengths)) < 2:
        return lengths[0], lengths[0]
    from scipy.stats import gaussian_kde  # only now: it takes a while

    numbers = np.arange(2, 2 * max(lengths))
    density = gaussian_kde(np.asarray(lengths, np.float64))(numbers)
    density /= density.sum()
    low = high = int(density.argmax())
    mass = density[low]
    while mass < MASS:
        before = density[low - 1] if low > 0 else -1.0
        behind = density[high + 1] if high + 1 < len(density) else -1.0
        if before >= behind:
            low -= 1
        else:
            high += 1
        mass += max(before, behind)
    return int(numbers[low]), int(numbers[high])
