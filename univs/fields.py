"""Values in the entries of JSON files: whole and finite numbers, flags, ids; not what Python takes for one as well."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeVar

Entry = TypeVar("Entry")

LARGEST = 2**53
"""Beyond, not every number can be told from its neighbours where JSON is read as floating point."""


def whole(value: Any) -> int:
    """A whole number, 3 or 3.0. Raises ValueError for anything else ("3", true, 3.5, NaN, 1e30)."""
    number = finite(value)
    if number != math.floor(number) or abs(number) > LARGEST:
        raise ValueError(f"{value!r:.40} is no whole number")
    return int(value)


def finite(value: Any) -> float:
    """A number that is neither NaN nor infinite. Raises ValueError for anything else ("0.5", true, null)."""
    try:
        if not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        pass
    raise ValueError(f"{value!r:.40} is no finite number")


def flag(value: Any) -> bool:
    """Yes or no (`iscrowd`): true, false, 1, 0, or null, which is no. Raises ValueError for anything else ("0", 2)."""
    if value is None:
        return False
    if isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    raise ValueError(f"{value!r:.40} is neither 0 nor 1")


def by_id(entries: Iterable[tuple[int, Entry]]) -> dict[int, Entry]:
    """Entries by their id. Raises ValueError for an id that two entries have which are not the same."""
    found: dict[int, Entry] = {}
    for number, entry in entries:
        if found.setdefault(number, entry) != entry:
            raise ValueError(f"the id {number} is given twice")
    return found
