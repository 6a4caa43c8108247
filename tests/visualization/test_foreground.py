"""Colours at the rim of a subject, on composites whose colours are known."""

from __future__ import annotations

import numpy as np
import pytest

from univs.visualization.alpha import smooth
from univs.visualization.foreground import WINDOWS, around, estimate_colours, fused


@pytest.fixture
def composite() -> tuple[np.ndarray, ...]:
    """Light, foreground, background and alpha of an orange disc with a soft edge before a blue ground."""
    rows, columns = np.mgrid[:240, :320]
    disc = np.hypot(rows - 120, columns - 160) < 70
    alpha = np.clip(smooth(disc.astype(np.float32), 2.0), 0, 1)
    waves = 0.1 * np.sin(columns / 17)[..., None].astype(np.float32)
    foreground = np.float32([0.8, 0.4, 0.1]) + waves
    background = np.float32([0.1, 0.2, 0.7]) + 0.5 * waves
    light = alpha[..., None] * foreground + (1 - alpha[..., None]) * background
    return light.astype(np.float32), foreground, background, alpha


def test_both_colours_are_nearer_than_the_frame(composite: tuple[np.ndarray, ...]) -> None:
    light, foreground, background, alpha = composite
    edge = (alpha > 0.1) & (alpha < 0.9)
    found, behind = estimate_colours(light, alpha)
    for got, want in ((found, foreground), (behind, background)):
        own = np.abs(light - want)[edge].mean()
        assert np.abs(got - want)[edge].mean() < 0.15 * own
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1


def test_certain_pixels_keep_the_colours_of_the_frame(composite: tuple[np.ndarray, ...]) -> None:
    light, _, _, alpha = composite
    found, behind = estimate_colours(light, alpha)
    certain = (alpha <= 0.01) | (alpha >= 0.99)
    assert np.array_equal(found[certain], light[certain]) and np.array_equal(behind[certain], light[certain])
    same, _ = estimate_colours(light, np.ones_like(alpha))
    assert np.array_equal(same, light)


def test_the_part_around_the_edge_gives_what_the_whole_frame_gives(composite: tuple[np.ndarray, ...]) -> None:
    light, _, _, alpha = composite
    wide = np.pad(light, ((200, 200), (200, 200), (0, 0)), mode="edge")
    outer = np.pad(alpha, 200)
    sides = [max(1, round(window * 640)) for window in WINDOWS]
    edge = (outer > 0.01) & (outer < 0.99)
    for got, want in zip(estimate_colours(wide, outer), fused(wide, outer, sides), strict=True):
        assert np.abs(got - want)[edge].max() < 1e-4


def test_colours_are_those_of_a_loop() -> None:
    """Blur fusion written out: Forte, ICIP 2021, with the fourth power of alpha in the coarse means."""
    rng = np.random.default_rng(2)
    light, alpha = rng.random((9, 11, 3)), rng.random((9, 11))
    front, back = light, light
    for side, power in ((5, 4), (3, 1)):
        reach = side // 2
        weights = alpha**power, (1 - alpha) ** power
        means = []
        for colours, weight in zip((front, back), weights, strict=True):
            around_it = np.pad(colours * weight[..., None], ((reach, reach), (reach, reach), (0, 0)), mode="edge")
            heavy = np.pad(weight, reach, mode="edge")
            means.append(
                [
                    [
                        around_it[y : y + side, x : x + side].mean((0, 1)) / (heavy[y : y + side, x : x + side].mean())
                        for x in range(11)
                    ]
                    for y in range(9)
                ]
            )
        near, behind, share = np.array(means[0]), np.array(means[1]), alpha[..., None]
        front = np.clip(near + share * (light - share * near - (1 - share) * behind), 0, 1)
        back = np.clip(behind, 0, 1)
    for got, want in zip(fused(light.astype(np.float32), alpha.astype(np.float32), [5, 3]), (front, back), strict=True):
        assert got == pytest.approx(want, abs=1e-3)


def test_a_frame_of_one_colour_has_no_other(composite: tuple[np.ndarray, ...]) -> None:
    alpha = composite[3]
    flat = np.broadcast_to(np.float32([0.3, 0.5, 0.2]), (240, 320, 3)).copy()
    for colours in estimate_colours(flat, alpha):
        assert colours == pytest.approx(flat, abs=2e-3)


def test_the_part_that_holds_a_mask() -> None:
    mask = np.zeros((20, 30), bool)
    mask[5, 25] = mask[8, 27] = True
    assert around(mask, 2) == (slice(3, 11), slice(23, 30))
    assert mask[around(mask, 9)].sum() == 2
