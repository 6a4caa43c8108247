"""Ctrl-C and SIGTERM during a run: it stops where its state is whole."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interruption:
    """While its block runs, Ctrl-C and SIGTERM are KeyboardInterrupt, but never in the middle of what is `held`.

    Once one was raised, the next changes nothing: what ends a run (saving, ending processes) is not disturbed. Who asks
    a third time is obeyed wherever the run is.

    Args:
        at_once: False for one of several processes, which must stop after the same step: then a signal is only noted.
    """

    def __init__(self, *, at_once: bool = True) -> None:
        self.asked = False
        self._patience = 3 if at_once else sys.maxsize
        self._holds = 0 if at_once else 1
        self._process = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._come)
        return self

    def __exit__(self, *error: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What must be whole. Raises KeyboardInterrupt at its end if a signal came meanwhile."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
        if self.asked and not self._holds:
            self.hold()
            raise KeyboardInterrupt

    def hold(self) -> None:
        """From here on signals are only noted."""
        self._holds += 1

    def _come(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a process of the loader that has just been forked
            return
        self.asked = True
        self._patience -= 1
        if not self._holds or not self._patience:
            self.hold()
            raise KeyboardInterrupt
