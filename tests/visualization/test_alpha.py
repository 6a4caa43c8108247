"""Alpha of masks: filters against loops, edges that follow the picture, and what time does to it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import textured
from univs.visualization.alpha import (
    AlphaSmoother,
    box_mean,
    feathered,
    guided_filter,
    sides_of,
    smooth,
    soft_alpha,
)
from univs.visualization.linear_light import grey

RNG = np.random.default_rng(0)


def test_means_are_those_of_a_loop() -> None:
    maps = RNG.random((9, 11)).astype(np.float32)
    padded = np.pad(maps, 2, mode="edge")
    want = [[padded[y : y + 5, x : x + 5].mean() for x in range(11)] for y in range(9)]
    assert box_mean(maps, 5) == pytest.approx(np.array(want), abs=1e-5)
    both = np.stack([maps, 1 - maps], 2)
    assert box_mean(both, 5)[..., 0] == pytest.approx(np.array(want), abs=1e-5)


def test_three_means_are_nearly_a_gaussian() -> None:
    dot = np.zeros((81, 81), np.float32)
    dot[40, 40] = 1
    for sigma in (2.0, 3.0, 7.0):
        spread = smooth(dot, sigma)
        places = np.arange(81) - 40
        assert spread.sum() == pytest.approx(1, abs=1e-3)
        assert (spread.sum(0) * places**2).sum() ** 0.5 == pytest.approx(sigma, rel=0.1)
    assert smooth(dot, 0) is dot


def test_the_guided_filter_is_a_regression_in_each_window() -> None:
    guide, maps = (RNG.random((12, 13)).astype(np.float32) for _ in range(2))
    a, b = np.zeros((12, 13)), np.zeros((12, 13))
    g, m = (np.pad(one, 2, mode="edge") for one in (guide, maps))
    for y in range(12):
        for x in range(13):
            window, target = g[y : y + 5, x : x + 5].astype(float), m[y : y + 5, x : x + 5].astype(float)
            a[y, x] = ((window * target).mean() - window.mean() * target.mean()) / (window.var() + 0.01)
            b[y, x] = target.mean() - a[y, x] * window.mean()
    a, b = (np.pad(one, 2, mode="edge") for one in (a, b))
    means = [[[one[y : y + 5, x : x + 5].mean() for x in range(13)] for y in range(12)] for one in (a, b)]
    want = np.array(means[0]) * guide + np.array(means[1])
    assert guided_filter(guide, maps, 2, 0.01) == pytest.approx(want, abs=1e-4)


def test_edges_of_a_mask_that_is_off_go_to_those_of_the_picture() -> None:
    frame = np.zeros((120, 160, 3), np.uint8)
    frame[:, 80:] = 220
    mask = np.zeros((120, 160), bool)
    mask[:, 82:] = True  # two columns too far
    alpha = soft_alpha(mask, frame)
    assert alpha.dtype == np.float32 and (alpha >= 0).all() and (alpha <= 1).all()
    assert alpha[60, 79] < 0.05 and alpha[60, 81] > 0.4, "the edge of the picture is at 80"
    assert (alpha[:, :70] == 0).all() and (alpha[:, 95:] == 1).all()
    assert 0 < ((alpha > 0) & (alpha < 1)).mean()
    assert (soft_alpha(np.ones((120, 160), bool), frame) == 1).all()
    assert (soft_alpha(np.zeros((120, 160), bool), frame) == 0).all()


@pytest.mark.parametrize(("size", "radius"), [((160, 240), 2), ((240, 160), 2), ((20, 30), 1)])
def test_alpha_is_the_guided_mask_whose_ends_are_cut(size: tuple[int, int], radius: int) -> None:
    frame = textured(*size, 3)
    mask = np.zeros(size, bool)
    mask[size[0] // 4 : size[0] // 2, size[1] // 3 : size[1] // 2] = True
    guided = guided_filter(grey(frame), mask.astype(np.float32), radius, 1e-4)
    assert soft_alpha(mask, frame) == pytest.approx(np.clip((guided - 0.1) / 0.8, 0, 1), abs=1e-5)


def test_sides_of_means_are_those_whose_variance_is_nearest() -> None:
    for sigma in np.arange(0.7, 12, 0.37):
        sides = sides_of(float(sigma))
        small = min(sides)
        assert all(side % 2 == 1 and side - small in (0, 2) for side in sides)
        spreads = {n: abs(((3 - n) * (small**2 - 1) + n * ((small + 2) ** 2 - 1)) / 12 - sigma**2) for n in range(4)}
        wider = sum(side > small for side in sides)
        assert spreads[wider if wider else min((0, 3), key=spreads.__getitem__)] == pytest.approx(min(spreads.values()))


def test_feathering_keeps_what_is_far_from_the_edge() -> None:
    alpha = np.zeros((100, 60), np.float32)
    alpha[:, 30:] = 1
    soft = feathered(alpha, 0.02)
    assert (soft[:, :20] == 0).all() and soft[50, 45:].min() == pytest.approx(1, abs=1e-5)
    assert soft[50, 29] == pytest.approx(1 - soft[50, 30], abs=1e-4) and 0 < soft[50, 28] < 0.5
    assert np.array_equal(feathered(alpha, 0), alpha)
    assert np.array_equal(soft, np.clip(smooth(alpha, 2.0), 0, 1)), "a share of the height"


def test_a_still_picture_calms_alpha_and_a_change_lets_it_go() -> None:
    frame = textured(40, 50, 1)
    high, low = np.full((40, 50), 0.8, np.float32), np.full((40, 50), 0.4, np.float32)
    calm = AlphaSmoother()
    assert np.array_equal(calm(high, frame), high)
    assert calm(low, frame) == pytest.approx(np.full((40, 50), 0.6), abs=1e-6)
    moved = frame.copy()
    moved[:20] = frame[:20] ^ 64
    after = calm(low, moved)
    assert after[:20] == pytest.approx(np.full((20, 50), 0.4), abs=1e-3), "here the picture changed"
    assert after[20:] == pytest.approx(np.full((20, 50), 0.5), abs=1e-6)


def test_what_was_counts_by_the_largest_change_of_a_colour_since_the_frame_before() -> None:
    first = textured(40, 50, 1) // 2 + 20
    second, third = first.copy(), first.copy()
    second[..., 0] += 10
    third[..., 0] += 20
    calm, was = AlphaSmoother(), np.full((40, 50), 0.8, np.float32)
    calm(was, first)
    share = 0.5 * np.exp(-((10 / 255 / 0.04) ** 2))
    for frame in (second, third):
        want = 0.4 + share * (was - 0.4)
        was = calm(np.full((40, 50), 0.4, np.float32), frame)
        assert was == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize(("step", "cut"), [(80, True), (56, False)])
def test_a_cut_is_a_change_of_a_quarter(step: int, cut: bool) -> None:
    calm, still = AlphaSmoother(), np.zeros((40, 50, 3), np.uint8)
    calm(np.ones((40, 50), np.float32), still)
    changed = still + np.uint8(step)
    changed[:5] = 0
    after = calm(np.zeros((40, 50), np.float32), changed)
    assert after[:5] == pytest.approx(np.full((5, 50), 0.0 if cut else 0.5), abs=1e-6) and after[5:].max() < 1e-6


def test_nothing_goes_over_a_cut() -> None:
    calm = AlphaSmoother()
    calm(np.ones((40, 50), np.float32), np.zeros((40, 50, 3), np.uint8))
    frame = np.full((40, 50, 3), 200, np.uint8)
    frame[:5] = 0  # what looks the same by chance
    assert not calm(np.zeros((40, 50), np.float32), frame).any()
