"""Figures that add up over videos: for every key (an object, an expression, a class) a sum and its divisor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

Tally = dict[str, tuple[float, float]]  # key -> numerator, denominator


def total(tallies: Iterable[Mapping[str, tuple[float, float]]]) -> Tally:
    """The tallies of several videos added up, key by key."""
    result: Tally = {}
    for tally in tallies:
        for key, (numerator, denominator) in tally.items():
            known = result.get(key, (0.0, 0.0))
            result[key] = (known[0] + numerator, known[1] + denominator)
    return result


def mean(tally: Mapping[str, tuple[float, float]], keys: Iterable[str] | None = None) -> float:
    """Mean over the keys (or those of them that are named) of numerator / denominator; NaN if there is none."""
    chosen = tally.values() if keys is None else [tally[key] for key in keys if key in tally]
    fractions = [numerator / denominator for numerator, denominator in chosen if denominator > 0]
    return sum(fractions) / len(fractions) if fractions else math.nan
