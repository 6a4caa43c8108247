"""Numbers of JSON entries, and what only looks like one."""

from __future__ import annotations

import math
from typing import Any

import pytest

from univs.fields import by_id, finite, flag, whole


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


def test_flags() -> None:
    assert [flag(value) for value in (1, True, 1.0)] == [True] * 3
    assert [flag(value) for value in (0, False, None)] == [False] * 3


@pytest.mark.parametrize("value", ["0", "1", "false", 2, -1, 0.5, math.nan, [], [1], {}], ids=repr)
def test_what_is_no_flag(value: Any) -> None:
    with pytest.raises(ValueError, match="is neither 0 nor 1"):
        flag(value)


def test_ids_are_of_one_entry() -> None:
    assert by_id([(2, "b"), (1, "a"), (2, "b")]) == {2: "b", 1: "a"}
    with pytest.raises(ValueError, match="the id 2 is given twice"):
        by_id([(2, "b"), (2, "c")])
