"""A temporary file in which the items of JSON files wait until their video is scored, maybe in another process."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Spooled:
    """N items that lie in a file as JSON; all that is held of each is where it begins and ends (N int64, bytes).

    places: which item of the file that was read each of them is, from 0 (N int64), for messages.
    """

    path: Path
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    places: NDArray[np.int64]

    def at(self, places: Any) -> Spooled:
        """Those at some places (a slice, or what else numpy takes)."""
        return Spooled(self.path, self.starts[places], self.ends[places], self.places[places])

    @property
    def size(self) -> int:
        """Bytes of all."""
        return int((self.ends - self.starts).sum())

    def read(self) -> Iterator[Any]:
        """The items, one after another."""
        with self.path.open("rb") as file:
            for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
                file.seek(start)
                yield json.loads(file.read(end - start))


class SpoolWriter:
    """Writes items one behind the other; `spooled` is what it has written, to be read once it is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb")
        self._edges = array("q", [0])

    def __enter__(self) -> SpoolWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, text: str) -> None:
        """One item, as its JSON."""
        self._edges.append(self._edges[-1] + self._file.write(text.encode("utf-8", "surrogatepass")))

    @property
    def spooled(self) -> Spooled:
        """All items so far."""
        edges = np.array(self._edges, np.int64)
        return Spooled(self.path, edges[:-1], edges[1:], np.arange(len(edges) - 1))
