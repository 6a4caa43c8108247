"""How far a run is, and what follows from it: learning rate and the kept share of the bootstrapped loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
