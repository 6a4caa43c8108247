"""Recordings that are made when they are asked for, so that a million images cost no more than their list."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, overload

from univs.data.public.recording import Recording


class MadeWhenAsked(Sequence[Recording]):
    """Recording i is `make(rows[i])`; it can be pickled if `rows` and `make` can."""

    def __init__(self, rows: Sequence[Any], make: Callable[[Any], Recording]) -> None:
        self._rows, self._make = rows, make

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Recording: ...
    @overload
    def __getitem__(self, index: slice) -> list[Recording]: ...
    def __getitem__(self, index: int | slice) -> Recording | list[Recording]:
        """One recording, or those of a slice. Raises UserError for an entry that does not fit."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = operator.index(index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"recording {place} of {len(self)}")
        return self._make(self._rows[place % len(self)])
