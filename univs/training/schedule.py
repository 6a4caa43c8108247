"""How far a run is, and what follows from it: learning rate and the kept share of the bootstrapped loss."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

from univs.errors import UserError
from univs.settings import Count, Positive


@dataclass(frozen=True)
class Budget:
    """The length of a run: a number of steps, or minutes of training time (for machines whose speed varies)."""

    steps: Count | None = None
    minutes: Positive | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise UserError(
                "the length of a run is given in steps or minutes, one of the two: stage.steps=N stage.minutes=null, "
                "or stage.steps=null stage.minutes=N"
            )

    def progress(self, step: int, seconds: float) -> float:
        """Share of the run that is done, 0..1, after `step` steps and `seconds` of training (resumed time included)."""
        done = step / self.steps if self.steps is not None else seconds / 60 / (self.minutes or 1.0)
        return min(1.0, done)


class StepClock:
    """Sums up the time of steps, each at most ten times the median of the last ones.

    A run that is suspended (SIGSTOP, a machine that sleeps) must not spend its budget. No clock leaves that out (Linux
    counts a stopped process as if it ran), but what takes longer than any step does is no training. The first steps are
    bounded as soon as there are enough of them to know what a step takes.

    Args:
        seconds: of an earlier part of the run.
    """

    MOST = 10.0
    KNOWN = 5
    RECENT = 25

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = self._before = seconds
        self._recent: deque[float] = deque(maxlen=self.RECENT)
        self._steps = 0

    def count(self, seconds: float) -> None:
        """Another step took so long by a clock on the wall."""
        self._recent.append(seconds)
        self._steps += 1
        most = self.MOST * median(self._recent) if self._steps >= self.KNOWN else math.inf
        if self._steps == self.KNOWN:
            self.seconds = self._before + sum(min(each, most) for each in self._recent)
        else:
            self.seconds += min(seconds, most)


def learning_rate_factor(
    step: int, progress: float, warmup: int, final: float, dropped_at: float | None = None
) -> float:
    """Linear warm-up over `warmup` steps, then a cosine from 1 to `final` over the run; with `dropped_at`, a share of
    the run, 1 until then and `final` from there on."""
    if dropped_at is None:
        factor = final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
    else:
        factor = 1.0 if progress < dropped_at else final
    return factor * min(1.0, (step + 1) / max(1, warmup))


def kept_share(
    progress: float, final: float, *, start: float = 1.0, begins: float = 0.0, reached: float = 0.6
) -> float:
    """Share of pixels in the bootstrapped cross-entropy: `start` until `begins`, a share of the run, then down in a
    line to `final` at `reached`."""
    done = (progress - begins) / max(reached - begins, 1e-9)
    return start - (start - final) * min(1.0, max(0.0, done))
