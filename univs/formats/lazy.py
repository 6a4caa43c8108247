"""Recordings that are made when asked for, so that a set of thousands of videos is listed at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

from univs.formats.recording import Recording

Item = TypeVar("Item")


@dataclass(frozen=True)
class LazyRecordings(Sequence[Recording], Generic[Item]):
    """One recording for each item; what is wrong with its files is said when it is made.

    make: a free function or a `functools.partial` of one, so that the set can be pickled.
    """

    make: Callable[[Item], Recording]
    items: Sequence[Item]

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Recording: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Recording]: ...

    def __getitem__(self, index: int | slice) -> Recording | Sequence[Recording]:
        if isinstance(index, slice):
            return LazyRecordings(self.make, self.items[index])
        return self.make(self.items[index])
