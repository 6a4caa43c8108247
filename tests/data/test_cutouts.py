"""Geometry of pasted objects and warped photos."""

from __future__ import annotations

import numpy as np
import pytest

from univs.data.photo import Photo
from univs.data.warps import Motion, source_map

pytest.importorskip("cv2")

from univs.data.composites import moving_view  # noqa: E402
from univs.data.cutouts import cut_out, line_kernel, paste  # noqa: E402
from univs.data.warps import covered_window, smooth_field  # noqa: E402


def disc(height: int, width: int, x: float, y: float, radius: float) -> np.ndarray:
    ys, xs = np.mgrid[:height, :width]
    return np.hypot(xs - x, ys - y) <= radius


def test_matrices_put_the_origin_on_the_path_and_scale_about_it() -> None:
    centre = np.array([[10.0, 20.0], [30.0, 5.0]])
    motion = Motion(centre, np.array([2.0, 0.5]), np.array([0.0, np.pi / 2]), np.ones(2))
    matrices = motion.matrices((3.0, 4.0))
    assert np.allclose(matrices @ np.array([3, 4, 1]), centre)
    assert np.allclose(matrices[0] @ np.array([4, 4, 1]), (12, 20))
    assert np.allclose(matrices[1] @ np.array([4, 4, 1]), (30, 5.5)), "x turns to y"


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
    field = np.zeros((33, 33, 2), np.float32)
    field[..., 0] = np.linspace(0, 32, 33)  # grows with the source's x only
    source = (66, 66)
    for shift in (0.0, 10.0):
        forward = np.array([[1.0, 0, shift], [0, 1.0, 0]])
        bent = source_map(forward, field, source, (10, 10, 50, 50)) - source_map(
            forward, None, source, (10, 10, 50, 50)
        )
        expected = (np.arange(10, 50) - shift + 0.5) / 2 - 0.5
        assert np.allclose(bent[5, :, 0], np.clip(expected, 0, 32), atol=0.05)


def test_pasted_label_is_where_alpha_exceeds_one_half() -> None:
    mask = disc(80, 90, 45, 40, 20)
    cut = cut_out(np.full((80, 90, 3), 200, np.uint8), mask)
    assert cut.area == mask.sum()
    frame, labels = np.zeros((128, 128, 3), np.uint8), np.zeros((128, 128), np.uint8)
    centre, zero = np.array([[70.0, 60.0]]), np.zeros(1)
    forward = Motion(centre, zero + 1.5, zero, zero + 1).matrices(cut.origin)[0]
    paste(frame, labels, cut, forward, 7)
    assert np.array_equal(labels == 7, frame[..., 0] > 100), "on black, brightness is alpha"
    expected = disc(128, 128, 70, 60, 20 * 1.5)
    assert ((labels == 7) & expected).sum() / ((labels == 7) | expected).sum() > 0.97
    assert ((frame[..., 0] > 8) & (frame[..., 0] < 192)).any(), "the edge is soft"
    assert (frame[labels == 0] < 101).all()


def test_paste_keeps_the_colours_of_the_object_at_its_rim() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    mask = disc(60, 60, 30, 30, 15)
    image[mask] = (0, 220, 0)
    image[~mask] = (250, 0, 0)  # its old background
    cut = cut_out(image, mask)
    frame, labels = np.zeros((60, 60, 3), np.uint8), np.zeros((60, 60), np.uint8)
    paste(frame, labels, cut, np.array([[1.0, 0, 9.3], [0, 1.0, 8.6]]), 1)
    assert frame[..., 0].max() < 5, "no red rim"


def test_later_pastes_hide_earlier_ones_and_out_of_frame_is_nothing() -> None:
    cut = cut_out(np.full((40, 40, 3), 90, np.uint8), disc(40, 40, 20, 20, 15))
    frame, labels = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
    paste(frame, labels, cut, np.array([[1.0, 0, 10], [0, 1.0, 10]]), 1)
    alone = (labels == 1).sum()
    paste(frame, labels, cut, np.array([[1.0, 0, 20], [0, 1.0, 10]]), 2)
    assert (labels == 2).sum() == alone > (labels == 1).sum() > 0
    before = frame.copy()
    paste(frame, labels, cut, np.array([[1.0, 0, 500], [0, 1.0, 10]]), 3)
    assert np.array_equal(frame, before) and not (labels == 3).any()
    assert covered_window(np.array([[1.0, 0, 500], [0, 1.0, 10]]), (40, 40), 0, 64) is None


def test_shrunk_cut_out_has_the_area_it_says() -> None:
    cut = cut_out(np.zeros((100, 120, 3), np.uint8), disc(100, 120, 60, 50, 40)).shrunk(0.4)
    assert (cut.rgba[..., 3] > 127).sum() == pytest.approx(cut.area, rel=0.05)


@pytest.mark.parametrize("way", [(7.0, 0.0), (3.0, -5.0), (0.2, 12.0)])
def test_line_kernel_is_centred_and_sums_to_one(way: tuple[float, float]) -> None:
    kernel = line_kernel(*way)
    radius = kernel.shape[0] // 2
    ys, xs = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert (kernel * xs).sum() == pytest.approx(0, abs=0.1) and (kernel * ys).sum() == pytest.approx(0, abs=0.1)
    spread = np.array([(kernel * xs**2).sum(), (kernel * ys**2).sum()])
    assert np.allclose(spread, np.array(way) ** 2 / 12, atol=0.9), "variance of a uniform line"


def test_fields_are_smooth_and_change_slowly() -> None:
    for seed in range(20):
        fields = smooth_field(np.random.default_rng(seed), 4, 0.05)
        assert fields.shape == (4, 33, 33, 2)
        size = np.abs(fields).mean()
        assert 0.005 < size < 0.1
        assert np.abs(np.diff(fields, axis=0)).mean() < size, "from frame to frame"
        assert np.quantile(np.abs(np.diff(fields, axis=1)) * 33, 0.98) < 1, "hardly any folds"


def test_moving_view_moves_photo_and_labels_alike() -> None:
    mask = disc(120, 160, 80, 60, 25)
    photo = Photo(np.where(mask[..., None], 255, 0).astype(np.uint8).repeat(3, 2), mask.astype(np.uint8), complete=True)
    for seed in range(5):
        scene = moving_view(photo, np.random.default_rng(seed), 4, 96, (80.0, 60.0), 90.0, 0.03, 1.0)
        known = scene.labels != 255
        bright = scene.frames[..., 0] > 127
        assert (bright == (scene.labels == 1))[known].mean() > 0.985
        assert scene.complete and (scene.labels[0] == 1).any()
