"""Chance that is the same everywhere: streams of random numbers named by whole numbers, and smooth curves through them.

Only `Generator.random` is used, whose stream NumPy keeps stable, and what decides about pixels is rounded to dyadic
fractions (`dyadic`) before it meets an interpolation, so that no compiler's rounding shows in a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Dice:
    """Random numbers of the stream that `name`, a tuple of whole numbers from 0, stands for."""

    def __init__(self, *name: int) -> None:
        self.name = name
        words = (len(name), *name)
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))

    def child(self, *more: int) -> Dice:
        """An independent stream below this one; the numbers drawn here do not change it."""
        return Dice(*self.name, *more)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in low..high."""
        return low + (high - low) * float(self._generator.random())

    def between(self, low: float, high: float) -> float:
        """A positive number in low..high, small ones as likely as large ones (uniform in 1/x between the two ends)."""
        return 1.0 / self.uniform(1.0 / high, 1.0 / low)

    def integer(self, count: int) -> int:
        """A whole number in 0..count-1."""
        return int(self._generator.random() * count)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self._generator.random() < probability)

    def sign(self) -> int:
        """-1 or 1."""
        return 1 if self.chance(0.5) else -1

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.integer(len(options))]

    def array(self, *shape: int) -> np.ndarray:
        """float64 numbers in 0..1 of this shape, drawn in row order: more rows leave the first ones as they were."""
        return self._generator.random(shape)

    def curve(self, frames: int, channels: int, period: float) -> np.ndarray:
        """Smooth random curves: frames x channels in -1..1, about a third of that in the mean.

        Uniform cubic B-splines with a random knot every `period` frames; a longer curve starts as the shorter one does.
        """
        start = self.uniform()
        position = start + np.arange(frames) / period
        whole = np.floor(position).astype(int)
        knots = self.array(int(whole[-1]) + 4, channels) * 2 - 1
        u = (position - whole)[:, None]
        v = 1 - u
        u2, v2 = u * u, v * v
        return (
            knots[whole] * (v2 * v)
            + knots[whole + 1] * (3 * u2 * u - 6 * u2 + 4)
            + knots[whole + 2] * (3 * v2 * v - 6 * v2 + 4)
            + knots[whole + 3] * (u2 * u)
        ) / 6


def dyadic(values: np.ndarray, bits: int = 12) -> np.ndarray:
    """float64 values rounded to multiples of 2^-bits: products and sums of a few of them are exact on any machine."""
    scale = float(1 << bits)
    return np.floor(np.asarray(values, np.float64) * scale + 0.5) / scale


def fold(values: np.ndarray, reach: float) -> np.ndarray:
    """Numbers reflected into -reach..reach, as a ball between two walls."""
    phase = np.mod(values + reach, 4 * reach)
    return np.where(phase < 2 * reach, phase, 4 * reach - phase) - reach
