"""Strokes for training: they lie on what is wrong, of the right sign, and come in all kinds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, distance_transform_edt

from univs.data import scribble_drawing
from univs.data.scribble_drawing import (
    draw_as_robot,
    draw_by_region,
    draw_curves,
    draw_edge,
    draw_scribbles,
    draw_skeleton,
    mark,
    with_gaps,
)

SIDE = 128


def block(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize("seed", range(12))
def test_strokes_have_the_sign_of_the_truth(seed: int) -> None:
    mask, before = block(20, 20, 100, 70), block(30, 40, 110, 110)
    known = ~block(0, 0, 30, SIDE)
    positive, negative = draw_scribbles(mask, before, known, np.random.default_rng(seed))
    assert positive.any() or negative.any()
    assert not (positive & ~mask).any() and not (negative & mask).any()
    assert not ((positive | negative) & ~known).any()


def test_strokes_lie_on_what_is_wrong_unless_more_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scribble_drawing, "MORE", 0.0)
    mask, before = block(20, 20, 100, 70), block(20, 20, 60, 110)
    missed, wrong = binary_dilation(mask & ~before, iterations=7), binary_dilation(before & ~mask, iterations=7)
    both = 0
    for seed in range(20):
        positive, negative = draw_scribbles(mask, before, np.ones_like(mask), np.random.default_rng(seed))
        assert not (positive & ~missed).any() and not (negative & ~wrong).any()
        both += bool(positive.any() and negative.any())
    assert both > 10


def test_a_mask_that_is_right_gets_strokes_on_the_object_all_the_same() -> None:
    mask = block(20, 20, 100, 70)
    for seed in range(5):
        positive, negative = draw_scribbles(mask, mask, np.ones_like(mask), np.random.default_rng(seed))
        assert positive.any() and not (positive & ~mask).any() and not (negative & mask).any()


def test_a_first_round_has_strokes_on_the_object() -> None:
    mask = block(20, 20, 100, 70)
    drawn = [draw_scribbles(mask, np.zeros_like(mask), np.ones_like(mask), np.random.default_rng(s)) for s in range(20)]
    assert all(positive.any() for positive, _ in drawn)
    assert 0 < sum(negative.any() for _, negative in drawn) < 15  # only of the further curves


def test_the_robot_draws_along_the_middle() -> None:
    drawn = draw_as_robot(block(50, 10, 70, 120), np.random.default_rng(0))
    rows, columns = np.nonzero(drawn)
    assert abs(rows.mean() - 59.5) < 2 and np.ptp(columns) > 70
    assert 2 < drawn[:, 60].sum() < 8


def test_edges_lie_inside_and_skeletons_in_the_middle() -> None:
    region = block(20, 20, 100, 100)
    depth = distance_transform_edt(region)
    for seed in range(5):
        edge = draw_edge(region, np.random.default_rng(seed))
        assert not (edge & ~binary_dilation(region, iterations=2)).any()
        if edge.any():
            assert np.ptp(depth[edge]) < 6  # all at one depth
    bar = block(50, 10, 70, 120)
    middle = draw_skeleton(bar, np.random.default_rng(1))
    assert middle.any() and (middle & bar).sum() == middle.sum()
    assert np.abs(np.nonzero(middle[:, 40:90])[0] - 59.5).max() < 4


def test_small_parts_get_nothing() -> None:
    assert not draw_by_region(block(5, 5, 8, 8), np.random.default_rng(0)).any()
    assert not any(draw_by_region(np.zeros((SIDE, SIDE), bool), np.random.default_rng(s)).any() for s in range(3))


def test_curves_stay_near_and_the_longest_are_kept() -> None:
    region = block(40, 40, 90, 90)
    rng = np.random.default_rng(0)
    drawn = draw_curves(region, rng, 10, 2)
    assert drawn.any() and not (drawn & ~binary_dilation(region, np.ones((3, 3)), iterations=6)).any()
    assert not draw_curves(region, rng, 3, 0).any() and not draw_curves(np.zeros_like(region), rng, 3, 3).any()
    best = [draw_curves(region, np.random.default_rng(s), 10, 1).sum() for s in range(10)]
    any_one = [draw_curves(region, np.random.default_rng(s), 1, 1).sum() for s in range(10)]
    assert np.mean(best) > 1.2 * np.mean(any_one)


def test_gaps_and_lines() -> None:
    lines = np.zeros((SIDE, SIDE), np.uint8)
    lines[::8] = 1
    left = [with_gaps(lines, np.random.default_rng(s)).sum() / lines.sum() for s in range(10)]
    assert min(left) < 1 and max(left) <= 1 and lines[::8].all()
    drawn = np.zeros((10, 20), np.uint8)
    mark(drawn, np.array([[-5.0, 3.2], [30.0, 3.2]]))
    assert drawn[3].all() and drawn.sum() == 20


def test_three_of_four_corrections_are_drawn_as_by_the_robot(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no opening: there is nothing yet that it would correct."""
    drawn: list[str] = []
    for name in ("draw_as_robot", "draw_by_region"):

        def draw(region: np.ndarray, rng: np.random.Generator, name: str = name) -> np.ndarray:
            drawn.append(name)
            return region

        monkeypatch.setattr(scribble_drawing, name, draw)
    mask, before = block(20, 20, 100, 70), block(20, 20, 60, 110)
    for seed in range(200):
        draw_scribbles(mask, before, np.ones_like(mask), np.random.default_rng(seed))
    assert len(drawn) == 400 and drawn.count("draw_as_robot") / 400 == pytest.approx(0.75, abs=0.08)
    drawn.clear()
    for seed in range(20):
        draw_scribbles(mask, np.zeros_like(mask), np.ones_like(mask), np.random.default_rng(seed))
    assert drawn == ["draw_by_region"] * 40
