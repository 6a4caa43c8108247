"""Paths and fields of moving layers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")

from univs.data.warps import FIELD_CELLS, Motion, covered_window, pace, smooth_curve, smooth_field, source_map  # noqa: E402


def test_matrices_put_the_origin_on_the_path_and_scale_about_it() -> None:
    centre = np.array([[10.0, 20.0], [30.0, 5.0]])
    motion = Motion(centre, np.array([2.0, 0.5]), np.array([0.0, np.pi / 2]), np.ones(2))
    matrices = motion.matrices((3.0, 4.0))
    assert np.allclose(matrices @ np.array([3, 4, 1]), centre)
    assert np.allclose(matrices[0] @ np.array([4, 4, 1]), (12, 20))
    assert np.allclose(matrices[1] @ np.array([4, 4, 1]), (30, 5.5)), "x turns to y"


@pytest.mark.parametrize("mirror", [False, True])
def test_widening_keeps_the_area_and_mirroring_turns_x_round(mirror: bool) -> None:
    motion = Motion(np.zeros((1, 2)), np.array([3.0]), np.array([0.4]), np.array([4.0]), mirror)
    linear = motion.matrices((0.0, 0.0))[0][:, :2]
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    assert np.allclose(linear, turn @ np.diag([-6.0 if mirror else 6.0, 1.5]))
    assert np.linalg.det(linear) == pytest.approx(-9 if mirror else 9)


def test_curves_run_from_nothing_to_the_change() -> None:
    middles = []
    for seed in range(60):
        curve = smooth_curve(np.random.default_rng(seed), 5, 8.0)
        assert curve.shape == (5,) and curve[0] == 0 and curve[-1] == pytest.approx(8) and (np.diff(curve) > 0).all()
        power = np.log(curve[2] / 8) / np.log(0.5)
        assert np.exp(-0.5) <= power <= np.exp(0.5)
        middles.append(power)
    assert min(middles) < 0.75 and max(middles) > 1.35, "eased in or out"
    rough = np.stack([smooth_curve(np.random.default_rng(seed), 5, 0.0, 3.0) for seed in range(300)])
    assert rough.std() == pytest.approx(3, rel=0.1) and abs(rough.mean()) < 0.3


def test_longer_clips_move_further_up_to_a_limit() -> None:
    assert [pace(frames) for frames in (1, 4, 5, 7, 30)] == pytest.approx([0, 1, 4 / 3, 2, 2])


def test_source_map_inverts_the_matrix_and_adds_the_field() -> None:
    forward = np.array([[2.0, 0.5, 3.0], [-0.3, 1.5, 7.0]])
    window = (4, 2, 12, 9)
    taken = source_map(forward, None, (20, 30), window)
    assert taken.shape == (7, 8, 2)
    there = np.concatenate([taken, np.ones((7, 8, 1))], 2) @ forward.T
    xs, ys = np.meshgrid(np.arange(4, 12), np.arange(2, 9))
    assert np.allclose(there, np.stack([xs, ys], 2), atol=1e-4)
    field = np.full((33, 33, 2), (1.5, -2.0), np.float32)
    assert np.allclose(source_map(forward, field, (20, 30), window) - taken, (1.5, -2.0), atol=1e-5)


def test_field_moves_with_its_layer() -> None:
    """Along both axes of a source that is wider than high."""
    source = (33, 66)
    for axis, pixels_of_a_cell in ((0, 2), (1, 1)):
        field = np.zeros((33, 33, 2), np.float32)
        ramp = np.linspace(0, 32, 33, dtype=np.float32)
        field[..., 1] = ramp if axis == 0 else ramp[:, None]
        for shift in (0.0, 10.0):
            forward = np.array([[1.0, 0, shift], [0, 1.0, shift]])
            window = (10, 12, 50, 40)
            bent = source_map(forward, field, source, window) - source_map(forward, None, source, window)
            places = np.arange(10, 50) if axis == 0 else np.arange(12, 40)
            expected = np.clip((places - shift + 0.5) / pixels_of_a_cell - 0.5, 0, 32)
            got = bent[5, :, 1] if axis == 0 else bent[:, 5, 1]
            assert np.allclose(got, expected, atol=0.05) and not bent[..., 0].any()


def test_fields_are_smooth_and_change_slowly() -> None:
    sizes = []
    for seed in range(20):
        fields = smooth_field(np.random.default_rng(seed), 4, 0.05)
        assert fields.shape == (4, FIELD_CELLS, FIELD_CELLS, 2)
        size = np.abs(fields).mean()
        assert 0.005 < size < 0.1
        assert np.abs(np.diff(fields, axis=0)).mean() < size, "from frame to frame"
        assert np.quantile(np.abs(np.diff(fields, axis=1)) * 33, 0.98) < 1, "hardly any folds"
        sizes.append(fields.std())
    assert 0.02 < np.mean(sizes) < 0.06, "about the amplitude"


def test_fields_go_round_between_two_ends() -> None:
    """Weights are cosine and sine of a turning angle, so two frames span all of the others; sizes scale."""
    one = smooth_field(np.random.default_rng(3), 5, 0.1).reshape(5, -1)
    assert np.linalg.matrix_rank(one, tol=1e-4) == 2
    assert np.allclose(smooth_field(np.random.default_rng(3), 5, 0.2).reshape(5, -1), 2 * one, atol=1e-5)
    still = smooth_field(np.random.default_rng(3), 1, 0.1)
    assert still.shape[0] == 1
    ends = np.linalg.svd(one, full_matrices=False)[2][:2]
    turned = one @ ends.T
    # an ellipse round zero, part of the way round: between 0.3 and 2 radians at pace 4 / 3 in 5 frames
    steps = np.abs(np.diff(turned, axis=0)).sum()
    assert 0 < steps < 2 * 4 / 3 * np.abs(turned).max() * 2


def test_covered_window() -> None:
    forward = np.array([[2.0, 0, 10.0], [0, 2.0, 20.0]])
    assert covered_window(forward, (6, 10), 3.0, 100) == (2, 12, 38, 40)  # 10 - 3 * 2 - 2 ... 30 + 6 + 2
    assert covered_window(forward, (60, 100), 0.0, 64) == (8, 18, 64, 64)
    assert covered_window(np.array([[1.0, 0, 500], [0, 1.0, 10]]), (40, 40), 0, 64) is None
    assert covered_window(np.array([[1.0, 0, 10], [0, 1.0, -90]]), (40, 40), 0, 64) is None
    turned = np.array([[0, -1.0, 30.0], [1.0, 0, 0]])  # x to y, y to -x: a source of 4 x 20 covers 26..30 by 0..20
    assert covered_window(turned, (4, 20), 0.0, 64) == (24, 0, 32, 22)
