"""Polygons against pycocotools, and those that would take all memory or make a mask of nothing."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from univs.masks.polygons import fill_polygons

SIZE = (48, 64)


def test_polygons_are_filled_as_by_cocos_tools() -> None:
    polygons = [[1.5, 2, 60, 2, 60, 40, 1.5, 40], [-5, -5, 20, -5, 20, 20], [50.5, 30, 70, 30, 70, 60, 50.5, 60]]
    expected = rle_tools.merge(rle_tools.frPyObjects(polygons, *SIZE))
    assert fill_polygons(polygons, SIZE) == expected
    assert fill_polygons([array("d", polygon) for polygon in polygons], SIZE) == expected
    assert fill_polygons([*polygons, [1, 2, 3, 4], []], SIZE) == expected  # two points and none have no area
    assert fill_polygons([[1, 2, 3, 4]], SIZE) is None and fill_polygons([], SIZE) is None


@pytest.mark.parametrize(
    ("polygon", "why"),
    [
        ([1, 2, float("nan"), 5, 6, 7], "no finite number"),
        ([1, 2, float("inf"), 5, 6, 7], "no finite number"),
        ([1, 2, 1e9, 5, 6, 7], "reaches 1e\\+09, 5"),
        ([1, 2, 3, 5, 6, -48.5], "reaches 6, -48.5"),
        ([128.5, 2, 3, 5, 6, 7], "far outside the frame of 64 x 48"),
        ([1, 2, 3, 4, 5, 6, 7], "7 coordinates; expected an even number"),
        ([1, 2, "3", 4, 5, 6], "no list of numbers"),
        ([1, 2, None, 4, 5, 6], "no list of numbers"),
        ([1, 2, True, 4, 5, 6], "no list of numbers"),
        ([1, 2, 10**400, 4, 5, 6], "no list of numbers"),
        ([[1, 2], [3, 4], [5, 6]], "no list of numbers"),
        ([[1, 2], [3, 4, 5]], "no list of numbers"),
        (3, "no list of numbers"),
        ("abcdef", "no list of numbers"),
        ({"x": 1}, "no list of numbers"),
    ],
)
def test_what_is_no_polygon_is_refused(polygon: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        fill_polygons([[1, 2, 5, 2, 5, 5], polygon], SIZE)


def test_one_frame_size_beyond_the_frame_is_still_legal() -> None:
    found = fill_polygons([[-64, -48, 128, -48, 128, 96, -64, 96]], SIZE)
    assert found is not None and rle_tools.area(found) == np.prod(SIZE)
