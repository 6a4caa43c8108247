"""A clock that stands still while the process does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType


class RunningClock:
    """Seconds for which this process ran, while its block does.

    No clock of the system leaves out the time in which a process is suspended (Linux counts a stopped process as if it
    ran). Here a thread reads the time every half second; where two readings lie further apart, the thread was suspended
    too, and what is beyond `MOST` does not count. So a step may take as long as it likes, and wait for its data.

    Args:
        now: a clock on the wall, in seconds.
    """

    EVERY = 0.5
    """Seconds between two readings."""
    MOST = 5.0
    """Seconds; a busy machine may keep the thread waiting so long."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seconds, self._read = 0.0, now()
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> RunningClock:
        self._read = self._now()
        self._thread = threading.Thread(target=self._beat, name="univs-clock", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def __call__(self) -> float:
        """Seconds so far."""
        with self._lock:
            now = self._now()
            self._seconds += min(now - self._read, self.MOST)
            self._read = now
            return self._seconds

    def _beat(self) -> None:
        while not self._ended.wait(self.EVERY):
            self()
