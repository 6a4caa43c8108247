"""Effects: what must stay to the last bit, what may change and how."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import textured
from univs.visualization.alpha import smooth, soft_alpha
from univs.visualization.effects import (
    blur_background,
    colour_pop,
    cover,
    cut_out,
    replace_background,
    spotlight,
)
from univs.visualization.linear_light import decoded, encoded, luma

FRAME, OTHER = textured(120, 160, 0), textured(120, 160, 1)


@pytest.fixture
def alpha() -> np.ndarray:
    """A disc with a soft edge, 1 within and 0 far from it."""
    rows, columns = np.mgrid[:120, :160]
    soft = smooth((np.hypot(rows - 60, columns - 80) < 35).astype(np.float32), 1.0)
    return np.where(soft > 0.999, 1, np.where(soft < 0.001, 0, soft)).astype(np.float32)


def test_a_background_replaced_by_itself_stays(alpha: np.ndarray) -> None:
    flat = np.full((120, 160, 3), (90, 140, 60), np.uint8)
    for changed in (replace_background(flat, alpha, flat), blur_background(flat, alpha)):
        assert np.abs(changed.astype(int) - flat).max() <= 1


def test_whole_alpha_is_the_frame_and_none_the_background(alpha: np.ndarray) -> None:
    changed = replace_background(FRAME, alpha, OTHER, light_wrap=True)
    assert np.array_equal(changed[alpha == 1], FRAME[alpha == 1])
    assert np.array_equal(changed[alpha == 0], OTHER[alpha == 0])
    red = replace_background(FRAME, alpha, np.array([200, 10, 20], np.uint8))
    assert (red[alpha == 0] == (200, 10, 20)).all()
    assert np.array_equal(blur_background(FRAME, alpha)[alpha == 1], FRAME[alpha == 1])


def test_no_halo_of_the_old_background_is_left(alpha: np.ndarray) -> None:
    subject, old, new = (np.full((120, 160, 3), c, np.uint8) for c in ((200, 120, 40), (250, 250, 250), (10, 20, 30)))
    share = alpha[..., None]
    shot = encoded(share * decoded(subject) + (1 - share) * decoded(old))
    want = encoded(share * decoded(subject) + (1 - share) * decoded(new)).astype(int)
    naive = encoded(share * decoded(shot) + (1 - share) * decoded(new)).astype(int)
    edge = (alpha > 0.1) & (alpha < 0.9)
    ours = replace_background(shot, alpha, new).astype(int)
    assert np.abs(ours - want)[edge].mean() < 0.2 * np.abs(naive - want)[edge].mean()


def test_the_subject_does_not_bleed_into_a_blurred_background(alpha: np.ndarray) -> None:
    frame = np.full((120, 160, 3), 60, np.uint8)
    frame[alpha > 0] = (255, 0, 0)
    sharp = (alpha > 0).astype(np.float32)
    blurred = blur_background(frame, sharp, 0.05)
    assert np.abs(blurred[sharp == 0].astype(int) - 60).max() <= 1
    rows = blur_background(FRAME, sharp, 0.05).astype(float)[:20]
    assert np.abs(np.diff(rows, axis=1)).mean() < 0.7 * np.abs(np.diff(FRAME[:20].astype(float), axis=1)).mean()


def test_light_of_the_background_comes_around_the_edge_alone(alpha: np.ndarray) -> None:
    subject = np.full((120, 160, 3), (200, 120, 40), np.uint8)
    share, behind = alpha[..., None], decoded(OTHER)
    plain = behind + share * (decoded(subject) - behind)
    around = smooth(behind, 0.03 * 120)
    wrapped = replace_background(subject, alpha, OTHER, light_wrap=True).astype(int)
    assert np.abs(wrapped - encoded((plain + 0.2 * share * (1 - share) * around).astype(np.float32))).max() <= 1
    unwrapped = replace_background(subject, alpha, OTHER).astype(int)
    assert np.abs(unwrapped - encoded(plain.astype(np.float32))).max() <= 1 and (wrapped - unwrapped).max() > 5


def test_a_blur_is_a_share_of_the_height() -> None:
    nobody = np.zeros((120, 160), np.float32)
    for amount, sigma in ((0.03, 3.6), (0.1, 12.0)):
        want = encoded(smooth(decoded(FRAME), sigma)).astype(int)
        assert np.abs(blur_background(FRAME, nobody, amount) - want).max() <= 1
    assert np.array_equal(blur_background(FRAME, nobody), blur_background(FRAME, nobody, 0.03)), "if nothing is said"


def test_what_is_taken_if_nothing_is_said(alpha: np.ndarray) -> None:
    assert np.array_equal(colour_pop(FRAME, alpha), colour_pop(FRAME, alpha, 1.0, 1.0, 0.005))
    assert np.array_equal(spotlight(FRAME, alpha), spotlight(FRAME, alpha, 0.75, 0.005))
    sharp = (alpha > 0.5).astype(np.float32)
    hard, wide = colour_pop(FRAME, sharp, feather=0), colour_pop(FRAME, sharp, feather=0.05)
    assert np.array_equal(hard[sharp == 1], FRAME[sharp == 1]) and not np.ptp(hard[sharp == 0].astype(int), -1).any()
    assert np.ptp(wide[sharp == 0].astype(int), -1).any()
    dark = spotlight(FRAME, sharp, 1.0, 0)
    assert np.array_equal(dark[sharp == 1], FRAME[sharp == 1]) and not dark[sharp == 0].any()


def test_colour_pop_keeps_brightness_and_takes_colour_away(alpha: np.ndarray) -> None:
    popped = colour_pop(FRAME, alpha)
    before, after = luma(decoded(FRAME)), luma(decoded(popped))
    steps = np.abs(encoded(before).astype(int) - encoded(after))
    assert steps.max() <= 1, "within rounding"
    far = smooth(alpha, 3) == 0
    assert far.any() and np.ptp(popped[far].astype(int), axis=-1).max() == 0, "grey has no saturation"
    within = smooth(1 - alpha, 3) == 0
    assert np.array_equal(popped[within], FRAME[within])


def test_controls_of_colour_pop(alpha: np.ndarray) -> None:
    assert np.array_equal(colour_pop(FRAME, alpha, amount=0), FRAME)
    half, whole = colour_pop(FRAME, alpha, amount=0.5), colour_pop(FRAME, alpha)
    far = smooth(alpha, 3) == 0
    saturation = [float(np.ptp(one[far].astype(int), axis=-1).mean()) for one in (FRAME, half, whole)]
    assert saturation[0] > saturation[1] > saturation[2] == 0
    darker = luma(decoded(colour_pop(FRAME, alpha, tone=2.0)))[far]
    assert darker == pytest.approx(luma(decoded(FRAME))[far] ** 2, abs=0.01)


def test_a_spotlight_darkens_what_is_around(alpha: np.ndarray) -> None:
    lit = spotlight(FRAME, alpha, darkness=0.5)
    far, within = smooth(alpha, 3) == 0, smooth(1 - alpha, 3) == 0
    assert np.abs(decoded(lit)[far] - 0.5 * decoded(FRAME)[far]).max() < 0.01
    assert np.array_equal(lit[within], FRAME[within]) and np.array_equal(spotlight(FRAME, alpha, 0), FRAME)


def test_a_cut_out_has_straight_alpha_and_the_colours_of_the_subject(alpha: np.ndarray) -> None:
    subject, old = (np.full((120, 160, 3), c, np.uint8) for c in ((200, 120, 40), (0, 0, 250)))
    share = alpha[..., None]
    shot = encoded(share * decoded(subject) + (1 - share) * decoded(old))
    cut = cut_out(shot, alpha)
    assert cut.shape == (120, 160, 4) and np.array_equal(cut[..., 3], np.round(alpha * 255))
    edge = (alpha > 0.3) & (alpha < 0.9)
    assert np.abs(cut[..., :3].astype(int) - subject)[edge].mean() < 6
    assert np.array_equal(cut[alpha == 1][:, :3], shot[alpha == 1])


def test_people_in_another_order_change_nothing() -> None:
    left, right = np.zeros((120, 160), bool), np.zeros((120, 160), bool)
    left[20:90, 20:70], right[30:100, 60:120] = True, True
    one, other = soft_alpha(left | right, FRAME), soft_alpha(right | left, FRAME)
    assert np.array_equal(colour_pop(FRAME, one), colour_pop(FRAME, other))


def test_a_picture_covers_a_frame_uncut_in_one_direction_and_unstretched() -> None:
    rows, columns = np.mgrid[:100, :400]
    wide = np.stack([columns * 255 // 399, rows * 255 // 99, rows * 0], 2).astype(np.uint8)
    covered = cover(wide, (50, 50))
    assert covered.shape == (50, 50, 3)
    middle = covered[25, :, 0].astype(float)
    assert middle[0] == pytest.approx(255 * 151 / 399, abs=2) and middle[-1] == pytest.approx(255 * 249 / 399, abs=2)
    assert covered[0, 25, 1] < 5 and covered[-1, 25, 1] > 250
    tall = cover(np.ascontiguousarray(wide.transpose(1, 0, 2)), (50, 50))
    assert np.abs(tall.transpose(1, 0, 2).astype(int) - covered).max() <= 1
    assert cover(FRAME, (120, 160)) is FRAME


@pytest.mark.parametrize(
    ("picture", "sizes"),
    [
        ((1200, 1600), [(480, 854)]),
        ((20, 30), [(height, width) for height in range(1, 40, 3) for width in range(1, 60, 2)]),
        ((7, 5), [(height, width) for height in range(1, 40, 3) for width in range(1, 60, 2)]),
    ],
)
def test_a_picture_of_any_size_covers_a_frame_of_any_size(
    picture: tuple[int, int], sizes: list[tuple[int, int]]
) -> None:
    """Where the picture and its part agree but for rounding, no pixel beyond the picture is asked for."""
    flat = np.full((*picture, 3), 90, np.uint8)
    for height, width in sizes:
        covered = cover(flat, (height, width))
        assert covered.shape == (height, width, 3) and (covered == 90).all()
