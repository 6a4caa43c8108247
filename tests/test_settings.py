"""Values against annotations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import numpy as np
import pytest

from univs.errors import UserError
from univs.settings import (
    Among,
    Count,
    CountFromZero,
    Device,
    MultipleOf,
    NotEmpty,
    Positive,
    Seed,
    Share,
    ShortSide,
    SomeAboveZero,
    Text,
    Weight,
    Workers,
    check_value,
    make,
    settings_of,
)

Shares = Annotated[Mapping[str, Weight], Among(("a", "b")), SomeAboveZero()]


class Root(TypedDict):
    root: Text


@dataclass(frozen=True)
class Everything:
    count: Count
    rate: Positive = 1.0
    either: Literal["x", "y"] | None = None
    gaps: tuple[Count, Count] = (1, 2)
    names: Annotated[Sequence[Text], NotEmpty()] = ("a",)
    place: Text | Path = "."
    where: Root | None = None
    flag: bool = False


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (Count, [1, 7], [0, -1, 1.0, True, "1", None, math.nan]),
        (CountFromZero, [0], [-1]),
        (Positive, [1, 1e-9], [0, -1, math.nan, math.inf, "fast", None, True, [1]]),
        (Weight, [0, 0.5], [-0.1, math.inf]),
        (Share, [0, 1, 0.5], [-1e-9, 1.01, math.nan]),
        (Seed, [0, 2**32 - 1], [-1, 2**32]),
        (ShortSide | None, [None, 480], [0, 9000, "480", 2.5]),
        (Workers, [0, 8], [-1, 100_000]),
        (Annotated[int, MultipleOf(32)], [64], [48]),
        (Text, ["a", " "], ["", 5, None]),
        (Text | Path, ["a", Path("a")], ["", 5]),
        (Device, ["auto", "cpu", "cuda", "cuda:1"], ["tpu", "cuda:", "cuda:x", "", 0]),
        (Literal["x", "y"], ["x"], ["z", None, 1]),
        (bool, [True], [1, 0, "yes", None]),
        (list[str], [[], ["a"]], ["a", [1], {"a": 1}]),
        (tuple[int, int], [[1, 2], (1, 2)], [[1], [1, 2, 3], ["a", 1], 3]),
        (Shares, [{"a": 1}, {"a": 0, "b": 0.1}], [{}, {"a": 0}, {"c": 1}, {"a": -1, "b": 2}, {"a": "x"}, [1], "a"]),
        (Everything | None, [None, Everything(1), {"count": 1}], [3, "x", [1]]),
        (np.random.Generator | None, [None, np.random.default_rng(0)], ["x", 3, {}, [1]]),
        (Count, [np.int64(3)], [np.float32(3)]),
        (Any, [None, 3, {}], []),
    ],
)
def test_kinds(kind: Any, right: list[Any], wrong: list[Any]) -> None:
    for value in right:
        check_value("it", value, kind)
    for value in wrong:
        with pytest.raises(UserError, match=r"^it(\.\w+)* ") as error:
            check_value("it", value, kind)
        assert "\n" not in str(error.value), value


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no value for stage.count; it must be a whole number of at least 1"),
        ({"count": "few"}, "stage.count must be a whole number of at least 1, not few"),
        ({"count": 0}, "stage.count must be at least 1, not 0"),
        ({"count": 1, "rate": "fast"}, "stage.rate must be a number above 0, not fast"),
        ({"count": 1, "rate": 0}, "stage.rate must be above 0, not 0"),
        ({"count": 1, "either": "z"}, "stage.either must be null or x or y, not z"),
        ({"count": 1, "gaps": [0, 1]}, "stage.gaps.0 must be at least 1, not 0"),
        ({"count": 1, "names": []}, "stage.names must be given, not []"),
        ({"count": 1, "names": ["a", ""]}, "stage.names.1 must be given, not empty text"),
        ({"count": 1, "where": {"rot": "a"}}, "unknown setting stage.where.rot; there is stage.where.root"),
        ({"count": 1, "where": {}}, "no value for stage.where.root; it must be a text"),
        ({"count": 1, "flag": "yes"}, "stage.flag must be true or false, not yes"),
        ({"cuont": 1}, "unknown setting stage.cuont; there are count, rate, either, gaps, names, place, where, flag"),
        (3, "stage must be given as names and values, not 3"),
    ],
)
def test_messages(settings: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        make(Everything, settings, "stage")
    assert str(error.value) == message


def test_what_is_right_is_made() -> None:
    assert make(Everything, {"count": 2, "either": "x"}) == Everything(2, either="x")
    with pytest.raises(UserError, match="size is the short side in pixels and must be at least 1, not 0"):
        check_value("size", 0, ShortSide | None)


def test_functions_and_classes_are_takers() -> None:
    def reads(root: Text, *, longest: Count = 400, **rest: Any) -> str:
        return f"{root} {longest}"

    class Reader:
        def __init__(self, root: Text) -> None: ...

    settings = settings_of(reads, leave_out=("longest",))
    assert list(settings) == ["root"] and settings["root"].required
    assert make(reads, {"root": "a", "longest": 3}) == "a 3"
    assert list(settings_of(Reader)) == ["root"]
