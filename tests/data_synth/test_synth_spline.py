"""Thin-plate warps against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator

from univs.data.synth.spline import CONTROLS, reach, warp


def pulls_of(seed: int, strength: float = 0.2) -> np.ndarray:
    pulls = np.random.default_rng(seed).uniform(-strength, strength, (9, 2))
    return pulls - pulls.mean(0)


@pytest.mark.parametrize("seed", range(4))
def test_the_plate_is_that_of_scipy_inside_and_beyond(seed: int) -> None:
    pulls, points = pulls_of(seed), np.random.default_rng(seed).uniform(-1.2, 1.2, (5, 7, 2))
    plate = RBFInterpolator(CONTROLS, pulls, kernel="thin_plate_spline", degree=1)
    np.testing.assert_allclose(warp(points, pulls), plate(points.reshape(-1, 2)).reshape(5, 7, 2), atol=1e-9)
    np.testing.assert_allclose(warp(CONTROLS, pulls), pulls, atol=1e-9)


def test_control_points_span_the_thing() -> None:
    assert sorted(map(tuple, CONTROLS)) == [(x, y) for x in (-0.5, 0, 0.5) for y in (-0.5, 0, 0.5)]


def test_pulls_that_turn_and_stretch_bend_nothing() -> None:
    linear, points = np.array([[0.1, -0.2], [0.05, 0.15]]), np.random.default_rng(0).uniform(-1, 1, (50, 2))
    np.testing.assert_allclose(warp(points, CONTROLS @ linear), points @ linear, atol=1e-9)


def test_reach_holds_all_that_the_warp_takes_into_the_box() -> None:
    """Against all points of a fine grid, and without more room than the pulls could need."""
    line = np.linspace(-1.2, 1.2, 481)
    grid = np.stack(np.meshgrid(line, line), -1)
    for seed in range(12):
        pulls, half = pulls_of(seed), (0.5, 0.5 if seed % 2 else 0.2)
        inside = (np.abs(grid + warp(grid, pulls)) <= np.array(half)).all(-1)
        need, found = np.abs(grid[inside]).max(0), np.array(reach(pulls, half))
        assert (found >= need - 1e-9).all() and (found - need < 0.35).all()
    assert reach(np.zeros((9, 2)), (0.5, 0.3)) == (0.5, 0.3)
