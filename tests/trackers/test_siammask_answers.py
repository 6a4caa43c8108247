"""How SiamMask's answers are read, against the same written out for one anchor and pixel at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from univs.models.siammask_anchors import Anchors, centred_grid
from univs.trackers.siammask_answers import (
    Choice,
    Following,
    MaskPlace,
    Target,
    choose,
    cosine_window,
    crop_side,
    placed,
    target_of_box,
    target_of_mask,
    towards_mask,
)

CELLS, ANCHORS = 7, Anchors(ratios=(0.5, 2))
FOLLOWING = Following(0.1, 0.4, 0.3)


def context(width: float, height: float) -> float:
    return math.sqrt((width + (width + height) / 2) * (height + (width + height) / 2))


@pytest.mark.parametrize("seed", range(5))
def test_the_choice_is_the_best_of_a_loop(seed: int) -> None:
    draws = np.random.default_rng(seed)
    scores, boxes = draws.normal(size=(2, 2, CELLS, CELLS)), draws.normal(size=(4, 2, CELLS, CELLS)) * 0.3
    target, best = Target(60.0, 40.0, 30.0, 50.0), (-1.0, None)
    scale = 127 / context(30, 50)
    for anchor, (width, height) in enumerate(ANCHORS.sizes()):
        for row in range(CELLS):
            for column in range(CELLS):
                dx, dy, w, h = boxes[:, anchor, row, column]
                score = 1 / (1 + math.exp(scores[0, anchor, row, column] - scores[1, anchor, row, column]))
                wide, high = width * math.exp(w), height * math.exp(h)
                sizes = context(wide, high) / context(30 * scale, 50 * scale)
                shapes = (30 / 50) / (wide / high)
                penalty = math.exp(-(max(sizes, 1 / sizes) * max(shapes, 1 / shapes) - 1) * 0.1)
                window = math.prod(0.5 - 0.5 * math.cos(2 * math.pi * place / (CELLS - 1)) for place in (row, column))
                value = penalty * score * 0.6 + window * 0.4
                if value > best[0]:
                    rate = penalty * score * 0.3
                    x, y = dx * width + (column - 3) * 8, dy * height + (row - 3) * 8
                    mixed = (30 * (1 - rate) + wide / scale * rate, 50 * (1 - rate) + high / scale * rate)
                    best = value, (60 + x / scale, 40 + y / scale, *mixed, score, (row, column))  # type: ignore[assignment]
    got = choose(scores, boxes, centred_grid(ANCHORS, CELLS), target, FOLLOWING)
    x, y, width, height, score, cell = best[1]  # type: ignore[misc]
    assert got.cell == cell and got.score == pytest.approx(score)
    assert (got.target.x, got.target.y) == pytest.approx((x, y))
    assert (got.target.width, got.target.height) == pytest.approx((width, height))


def test_huge_logits_are_no_trouble_and_of_equal_ones_the_first_counts() -> None:
    scores = np.full((2, 1, 3, 3), 1e4)
    got = choose(scores, np.zeros((4, 1, 3, 3)), centred_grid(Anchors(ratios=(1,)), 3), Target(9, 9, 4, 4), FOLLOWING)
    assert got.cell == (1, 1) and got.score == 0.5, "the window decides"
    flat = Following(0.1, 0.0, 0.3)
    assert choose(
        scores, np.zeros((4, 1, 3, 3)), centred_grid(Anchors(ratios=(1,)), 3), Target(9, 9, 4, 4), flat
    ).cell == (0, 0)


def test_the_window_is_for_every_anchor() -> None:
    window = cosine_window(3, 5).reshape(3, 5, 5)
    assert np.array_equal(window[0], window[2]) and window[0, 2, 2] == window.max() == 1
    assert not window[:, 0].any() and not window[:, :, -1].any()


@pytest.mark.parametrize("place", [MaskPlace(3.3, -4.2, 20.5), MaskPlace(-9, 8, 60), MaskPlace(15, 5, 3)])
def test_masks_lie_where_they_belong(place: MaskPlace) -> None:
    mask = np.random.default_rng(0).random((6, 6), np.float32)
    height, width = 14, 19
    got = placed(mask, place, (height, width), -1.0)

    def value(row: int, column: int) -> float:
        return float(mask[row, column]) if 0 <= row < 6 and 0 <= column < 6 else -1.0

    for y in range(height):
        for x in range(width):
            # the last pixel of the frame lies at the end of the mask's frame, not half a pixel before it
            v = (y * height / (height - 1) - place.top) * 6 / place.side
            u = (x * width / (width - 1) - place.left) * 6 / place.side
            row, column = math.floor(v), math.floor(u)
            want = sum(
                value(row + down, column + right) * abs(1 - down - (v - row)) * abs(1 - right - (u - column))
                for down in (0, 1)
                for right in (0, 1)
            )
            assert got[y, x] == pytest.approx(want, abs=1e-5)


def test_masks_that_lie_elsewhere() -> None:
    assert placed(np.ones((6, 6), np.float32), MaskPlace(-3, -3, 9), (1, 1), -1.0).tolist() == [[1]], "one pixel"
    assert (placed(np.ones((6, 6), np.float32), MaskPlace(500, 0, 20), (5, 7), -1.0) == -1).all()
    assert (placed(np.ones((6, 6), np.float32), MaskPlace(0, -80, 20), (5, 7), 0.0) == 0).all()


def test_the_mask_of_the_middle_cell_is_in_the_middle_of_the_target() -> None:
    """127 of 255 pixels of a crop, around its middle, less half a pixel that the official program loses."""
    target = Target(100, 80, 40, 40)
    place = MaskPlace.of(target, Choice(target, 1, (12, 12), 25), 255, 8)
    side = round(context(40, 40) * 255 / 127)
    assert place.side == pytest.approx(side * 127 / 255)
    assert place.left + place.side / 2 == pytest.approx(100, abs=0.5)
    other = MaskPlace.of(target, Choice(target, 1, (13, 10), 25), 255, 8)
    assert other.top - place.top == pytest.approx(8 * side / 255)
    assert other.left - place.left == pytest.approx(-16 * side / 255)


@pytest.mark.parametrize(("search", "cells", "first"), [(255, 25, -32), (127, 1, 0), (143, 3, 0), (287, 29, -32)])
def test_masks_of_all_cells_are_centred_on_crops_of_any_size(search: int, cells: int, first: int) -> None:
    """The network leaves out the cells at the border of small crops: theirs begin in the crop (page: 143 for 3 x 3)."""
    target, middle = Target(100, 80, 40, 30), cells // 2
    side = crop_side(target, search)
    assert side == round(context(40, 30) * search / 127)
    place = MaskPlace.of(target, Choice(target, 1, (middle, middle), cells), search, 8)
    assert (place.left + place.side / 2, place.top + place.side / 2) == pytest.approx((100, 80))
    corner = MaskPlace.of(target, Choice(target, 1, (0, 0), cells), search, 8)
    assert (corner.left, corner.top) == pytest.approx((100 - side / 2 + first * side / search, corner.left - 20))


def test_crops_have_a_pixel_at_least() -> None:
    nothing = Target(5, 5, 1e-3, 1e-9)
    assert crop_side(nothing) == 1 and MaskPlace.of(nothing, Choice(nothing, 1, (12, 12), 25), 255, 8).side > 0.4


@pytest.mark.parametrize("log", [-1e4, 1e4, 1e30])
def test_absurd_sizes_stay_finite(log: float) -> None:
    """A network that was not trained may say anything; a size that is no number would end the video."""
    boxes, grid = np.zeros((4, 1, 3, 3)), centred_grid(Anchors(ratios=(1,)), 3)
    boxes[2], boxes[3] = log, -log
    boxes[2:, 0, 1, 1] = log
    for following in (FOLLOWING, Following(0.0, 0.0, 1.0)):
        got = choose(np.zeros((2, 1, 3, 3)), boxes, grid, Target(9, 9, 4, 4), following).target.inside(50, 60)
        assert np.isfinite([got.x, got.y, got.width, got.height]).all() and got.width <= 60 and got.height <= 50


def test_targets_of_prompts_and_frames() -> None:
    assert target_of_box((10, 20, 40, 80)) == Target(25, 50, 30, 60)
    mask = np.zeros((9, 12), bool)
    mask[2, 3] = mask[5, 7] = True
    assert target_of_mask(mask) == Target(5.5, 4, 5, 4)
    assert target_of_mask(mask).corners().tolist() == [[3, 2], [8, 2], [8, 6], [3, 6]]
    assert Target(-3, 500, 4, 900).inside(100, 200) == Target(0, 100, 10, 100)
    assert Target(500, -3, 900, 4).inside(100, 200) == Target(200, 0, 200, 10)
    assert Target(3, 3, 9, 9).inside(4, 6) == Target(3, 3, 6, 4), "frames may be smaller than the smallest size"


def test_a_target_goes_towards_its_mask_and_past_specks() -> None:
    mask, target = np.zeros((40, 60), bool), Target(30, 20, 20, 10)
    assert towards_mask(target, mask, 0.5) == target
    mask[10:20, 6:16] = True  # 100 pixels
    mask[30:33, 50:53] = True  # 9 pixels: a speck
    assert towards_mask(target, mask, 1.0) == Target(11, 15, 10, 10)
    assert towards_mask(target, mask, 0.25) == Target(0.75 * 30 + 0.25 * 11, 0.75 * 20 + 0.25 * 15, 17.5, 10)
    assert towards_mask(target, mask, 0.0) == target
    mask[33, 50] = True  # 10 pixels: a part, like what is hidden behind a post
    assert towards_mask(target, mask, 1.0) == Target(29.5, 22, 47, 24)
