"""Numbers in the entries of JSON files: whole ones and finite ones, for what Python would take for a number as well."""

from __future__ import annotations

import math
from typing import Any

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
