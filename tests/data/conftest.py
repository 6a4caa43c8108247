"""Dice that fall as a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest


class Scripted(np.random.Generator):
    """A generator whose calls of `random()` give the values of a script, then its own; all other draws are its own."""

    def __init__(self, script: Iterable[float], seed: int = 0) -> None:
        super().__init__(np.random.PCG64(seed))
        self.script = list(script)

    def random(self, *given: object, **named: object) -> object:  # type: ignore[override]
        if given or named or not self.script:
            return super().random(*given, **named)  # type: ignore[call-overload]
        return self.script.pop(0)


@pytest.fixture
def scripted() -> Callable[..., np.random.Generator]:
    """Makes generators out of what `random()` shall give (and a seed)."""
    return Scripted
