"""Numbers of JSON entries, and what only looks like one."""

from __future__ import annotations

import math
from typing import Any

import pytest

from univs.evaluation.fields import finite, whole


def test_numbers() -> None:
    assert whole(3) == whole(3.0) == 3 and isinstance(whole(3.0), int)
    assert finite(0.5) == 0.5 and finite(2) == 2.0


@pytest.mark.parametrize(
    "value", [3.5, "3", True, None, [3], math.nan, math.inf, 1e30, 10**400], ids=lambda v: repr(v)[:9]
)
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(ValueError, match="is no"):
        whole(value)


@pytest.mark.parametrize("value", ["0.5", True, None, math.nan, -math.inf, 10**400], ids=lambda v: repr(v)[:9])
def test_what_is_no_finite_number(value: Any) -> None:
    with pytest.raises(ValueError, match="is no finite number"):
        finite(value)
