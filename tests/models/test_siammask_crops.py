"""Crops around an object, against pixels that are fetched and interpolated one by one."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from univs.models.siammask_crops import (
    axis_aligned,
    channel_mean,
    context_side,
    corner,
    resized,
    search_side,
    square,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
OUTSIDE = np.array([1, 2, 3], np.uint8)


def test_sides() -> None:
    assert context_side(40, 30) == pytest.approx(math.sqrt(75 * 65)) == context_side(30, 40)
    assert search_side(127) == pytest.approx(255)
    assert search_side(80) == pytest.approx(80 * 255 / 127)


@pytest.mark.parametrize(("position", "side"), [((8, 6), 5), ((0, 0), 8), ((16.5, 12.4), 6), ((40, -30), 9)])
def test_pixels_outside_of_the_frame(position: tuple[float, float], side: int) -> None:
    x0, y0 = corner(position, side)
    want = np.empty((side, side, 3), np.uint8)
    for row in range(side):
        for column in range(side):
            y, x = y0 + row, x0 + column
            want[row, column] = IMAGE[y, x] if 0 <= y < 13 and 0 <= x < 17 else OUTSIDE
    assert np.array_equal(square(IMAGE, position, side, side, OUTSIDE), want)


@pytest.mark.parametrize("side", [7, 12, 20, 33, 90])
def test_a_square_is_what_is_cut_and_then_resized(side: int) -> None:
    """However few of its pixels are read."""
    for position in ((8, 6), (-3, 20.5), (30, 2)):
        whole = square(IMAGE, position, side, side, OUTSIDE)
        assert np.array_equal(square(IMAGE, position, side, 10, OUTSIDE), resized(whole, 10, 10))


def test_squares_far_larger_than_the_frame_need_no_memory() -> None:
    tracemalloc.start()
    try:
        found = square(IMAGE, (8, 6), 60_001, 255, OUTSIDE)
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()
    assert (found == OUTSIDE).all(-1).mean() > 0.99


def test_halves_are_rounded_either_way() -> None:
    assert corner((10, 11), 6) == (6, 8) and corner((10, 11), 6, half_up=True) == (7, 8)
    assert corner((10, 11), 7) == (6, 7) == corner((10, 11), 7, half_up=True)
    assert corner((0.9, 2.1), 5) == (-2, -1)


def bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    out = np.zeros((height, width, 3))
    for row in range(height):
        for column in range(width):
            y = min(max((row + 0.5) * image.shape[0] / height - 0.5, 0), image.shape[0] - 1)
            x = min(max((column + 0.5) * image.shape[1] / width - 0.5, 0), image.shape[1] - 1)
            for below in (0, 1):
                for right in (0, 1):
                    weight = abs(1 - below - (y - int(y))) * abs(1 - right - (x - int(x)))
                    pixel = image[min(int(y) + below, image.shape[0] - 1), min(int(x) + right, image.shape[1] - 1)]
                    out[row, column] += weight * pixel
    return out


@pytest.mark.parametrize("size", [(29, 31), (7, 5), (13, 20)])
def test_resizing_is_bilinear_to_a_grey_level(size: tuple[int, int]) -> None:
    assert np.abs(resized(IMAGE, *size) - bilinear(IMAGE, *size)).max() < 1


def test_resizing_keeps_what_needs_none_and_averages_halves() -> None:
    assert resized(IMAGE, 13, 17) is IMAGE
    even = IMAGE[:12, :16].astype(int)
    sums = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    assert np.array_equal(resized(IMAGE[:12, :16], 6, 8), (sums + 2) // 4)
    assert (resized(np.full((9, 9, 3), 200, np.uint8), 31, 31) == 200).all()


def test_the_mean_loses_its_fraction() -> None:
    image = np.zeros((1, 2, 3), np.uint8)
    image[0, 0] = (3, 255, 1)
    assert channel_mean(image).tolist() == [1, 127, 0]


def test_upright_boxes() -> None:
    assert axis_aligned([30, 30, 90, 30, 90, 70, 30, 70]) == pytest.approx((60, 50, 61, 41))
    x, y, width, height = axis_aligned([0, 10, 10, 0, 20, 10, 10, 20])
    assert (x, y) == (10, 10) and (width - 1) * (height - 1) == pytest.approx(200), "the area of the rotated square"
