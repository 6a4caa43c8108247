"""Objects cut out of photos and pasted on frames."""

from __future__ import annotations

import numpy as np
import pytest

from univs.data.warps import Motion

pytest.importorskip("cv2")

from univs.data.cutouts import MARGIN, CutOut, cut_out, line_kernel, paste  # noqa: E402


def disc(height: int, width: int, x: float, y: float, radius: float) -> np.ndarray:
    ys, xs = np.mgrid[:height, :width]
    return np.hypot(xs - x, ys - y) <= radius


def solid(height: int, width: int, value: int = 200) -> CutOut:
    """A rectangle of one colour, its edge as sharp as may be."""
    mask = np.zeros((height + 20, width + 20), bool)
    mask[10:-10, 10:-10] = True
    return cut_out(np.full((*mask.shape, 3), value, np.uint8), mask, 0.3)


def canvas(size: int = 64, value: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return np.full((size, size, 3), value, np.uint8), np.zeros((size, size), np.uint8)


def at(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0, x], [0, 1.0, y]])


def test_a_cut_out_is_the_box_of_its_object_with_a_margin() -> None:
    mask = np.zeros((50, 60), bool)
    mask[10:30, 20:50] = True
    mask[10, 20] = False
    image = np.zeros((50, 60, 3), np.uint8)
    image[..., 0], image[..., 2] = np.arange(60)[None, :] * 4, np.arange(50)[:, None] * 4
    cut = cut_out(image, mask)
    assert cut.rgba.shape == (20 + 2 * MARGIN, 30 + 2 * MARGIN, 4) and cut.area == mask.sum() == 599
    assert cut.origin == ((30 + 2 * MARGIN - 1) / 2, (20 + 2 * MARGIN - 1) / 2)
    inner = np.s_[MARGIN + 2 : -MARGIN - 2, MARGIN + 2 : -MARGIN - 2]
    assert np.array_equal(cut.rgba[inner][..., :3], image[12:28, 22:48]) and (cut.rgba[inner][..., 3] >= 253).all()
    assert not cut.rgba[0, :, 3].any() and not cut.rgba[:, 0, 3].any()
    edge = cut.rgba[20, :, 3].astype(float) / 255
    assert 0.2 < edge[MARGIN - 1] < 0.5 < edge[MARGIN] < 0.8, "half of the soft edge lies outside"
    softer = cut_out(image, mask, 2.0).rgba[20, :, 3] / 255
    assert softer[MARGIN] < edge[MARGIN] and softer[MARGIN - 1] > edge[MARGIN - 1]


def test_pasted_label_is_where_alpha_exceeds_one_half() -> None:
    mask = disc(80, 90, 45, 40, 20)
    cut = cut_out(np.full((80, 90, 3), 200, np.uint8), mask)
    assert cut.area == mask.sum()
    frame, labels = canvas(128)
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
    frame, labels = canvas()
    paste(frame, labels, cut, at(10, 10), 1)
    alone = (labels == 1).sum()
    paste(frame, labels, cut, at(20, 10), 2)
    assert (labels == 2).sum() == alone > (labels == 1).sum() > 0
    before = frame.copy()
    paste(frame, labels, cut, at(500, 10), 3)
    assert np.array_equal(frame, before) and not (labels == 3).any()


def test_pixels_are_blended_by_alpha_and_rounded() -> None:
    """On grey 100, an object of 200 gives 100 + 100 alpha; to the pixel, where it is shifted by whole pixels."""
    cut = cut_out(np.full((30, 30, 3), 200, np.uint8), disc(30, 30, 15, 15, 8))
    frame, labels = canvas(64, 100)
    paste(frame, labels, cut, at(20, 11), 5)
    height, width = cut.rgba.shape[:2]
    alpha = np.zeros((64, 64))
    alpha[11 : 11 + height, 20 : 20 + width] = cut.rgba[..., 3] / 255
    error = frame[..., 1] - (100 + 100 * alpha)
    assert np.abs(error).max() <= 2 and abs(error[(alpha > 0) & (alpha < 1)].mean()) < 0.4
    assert np.array_equal(labels, np.where(alpha > 0.5, 5, 0))


def test_fading_touches_colours_not_labels() -> None:
    whole, faded = canvas(64, 40), canvas(64, 40)
    paste(*whole, solid(20, 20), at(10, 10), 3)
    paste(*faded, solid(20, 20), at(10, 10), 3, opacity=0.25)
    assert np.array_equal(whole[1], faded[1]) and whole[1].any()
    assert abs(int(faded[0][26, 26, 0]) - 80) <= 1 and whole[0][26, 26, 0] == 200


def test_a_field_bends_the_object_in_its_own_pixels() -> None:
    """Every pixel is taken from 4 to the right and 3 above: what is seen lies 4 to the left and 3 below."""
    straight, bent = canvas(), canvas()
    paste(*straight, solid(20, 24), at(14, 14), 3)
    field = np.full((33, 33, 2), (4.0, -3.0), np.float32)
    paste(*bent, solid(20, 24), at(14, 14), 3, field=field)
    assert np.array_equal(np.roll(straight[1], (3, -4), (0, 1)), bent[1])
    far = np.full((33, 33, 2), (25.0, 0.0), np.float32)
    moved = canvas()
    paste(*moved, solid(20, 20), at(35, 14), 3, field=far)
    assert (moved[1] == 3).sum() == 400, "further than the margin, too"


def test_motion_blur_widens_along_the_way_and_keeps_the_label_where_most_of_it_is() -> None:
    sharp, still, smeared, across = canvas(), canvas(), canvas(), canvas()
    paste(*sharp, solid(20, 20), at(12, 12), 3)
    paste(*still, solid(20, 20), at(12, 12), 3, smear=(1.4, 1.3))  # less than two pixels: not worth it
    paste(*smeared, solid(20, 20), at(12, 12), 3, smear=(12.0, 0.0))
    paste(*across, solid(20, 20), at(12, 12), 3, smear=(0.0, 12.0))
    assert np.array_equal(sharp[0], still[0])
    row, blurred = (canvas_[0][28, :, 0].astype(float) for canvas_ in (sharp, smeared))
    assert np.flatnonzero(blurred > 5).size >= np.flatnonzero(row > 5).size + 8
    assert blurred.sum() == pytest.approx(row.sum(), rel=0.02), "nothing is lost"
    far = canvas(96)
    paste(*far, solid(20, 20), at(30, 12), 3, smear=(40.0, 0.0))
    assert far[0][28, :, 0].sum() == pytest.approx(row.sum(), rel=0.02), "nor where it is smeared beyond the margin"
    assert np.abs(across[0].astype(int) - smeared[0].transpose(1, 0, 2)).max() <= 3
    assert (smeared[1] == 3).sum() == pytest.approx((sharp[1] == 3).sum(), rel=0.1)
    assert np.abs(np.flatnonzero(smeared[1][28]).mean() - np.flatnonzero(sharp[1][28]).mean()) < 0.6


def test_shrunk_cut_out_has_the_area_it_says() -> None:
    cut = cut_out(np.zeros((100, 120, 3), np.uint8), disc(100, 120, 60, 50, 40))
    small = cut.shrunk(0.4)
    assert (small.rgba[..., 3] > 127).sum() == pytest.approx(small.area, rel=0.05)
    assert small.area == round(cut.area * 0.16) and small.rgba.shape[:2] == (round(93 * 0.4), round(93 * 0.4))
    assert cut.shrunk(0.01).rgba.shape[:2] == (8, 8)
    wide = solid(20, 60).shrunk(0.5)
    assert wide.rgba.shape[:2] == (16, 36)


@pytest.mark.parametrize("way", [(7.0, 0.0), (3.0, -5.0), (0.2, 12.0)])
def test_line_kernel_is_centred_and_sums_to_one(way: tuple[float, float]) -> None:
    kernel = line_kernel(*way)
    radius = kernel.shape[0] // 2
    ys, xs = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    assert kernel.sum() == pytest.approx(1, abs=1e-5) and kernel.dtype == np.float32
    assert (kernel * xs).sum() == pytest.approx(0, abs=0.1) and (kernel * ys).sum() == pytest.approx(0, abs=0.1)
    spread = np.array([(kernel * xs**2).sum(), (kernel * ys**2).sum()])
    assert np.allclose(spread, np.array(way) ** 2 / 12, atol=0.9), "variance of a uniform line"
    assert np.sign((kernel * xs * ys).sum().round(1)) == np.sign(way[0] * way[1]) or 0.2 in way
    assert kernel.shape[0] == 2 * (int(np.ceil(max(map(abs, way)) / 2)) + 1) + 1
