"""Changes of colour, sharpness and quality; none moves a pixel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from univs.data.appearance import GREY, add_fog, blur_plan, colour_matrix, degrade, recolour  # noqa: E402

Script = Callable[..., np.random.Generator]
NO = 0.999


def picture(seed: int = 0, size: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(30, 220, (size, size, 3), dtype=np.uint8)


def plain(
    scripted: Script,
    *,
    fog: float = NO,
    colours: float = NO,
    grey: float = NO,
    gamma: float = NO,
    blur: float = NO,
    noise: float = NO,
    quality: float = NO,
    coarse: float = NO,
    frames: int = 1,
    clip: np.ndarray | None = None,
    seed: int = 1,
) -> np.ndarray:
    """`degrade` with dice that fall as said; seed 1 draws no flicker."""
    rng = scripted([fog, colours, grey, gamma, blur, noise, quality, coarse], seed)
    given = clip if clip is not None else np.stack([picture()] * frames)
    rng.choice = lambda options, **named: options[0]  # type: ignore[method-assign]
    return degrade(given, rng)


def test_strength_zero_changes_nothing_and_grey_weights_are_those_of_bt_601() -> None:
    rng = np.random.default_rng(0)
    assert np.array_equal(recolour(picture(), colour_matrix(rng, 0.0)), picture())
    assert GREY.tolist() == pytest.approx([0.299, 0.587, 0.114])


def test_colour_changes_have_the_spread_they_should() -> None:
    """On grey 128 saturation and hue change nothing, and contrast turns about it: brightness and tint are left."""
    matrices = np.stack([colour_matrix(np.random.default_rng(seed), 1.0) for seed in range(1500)]).astype(float)
    assert matrices.shape == (1500, 3, 4)
    grey = matrices @ np.array([128, 128, 128, 1])
    assert grey.mean() == pytest.approx(128, abs=2.5)
    assert grey.mean(1).std() == pytest.approx(np.hypot(18, 128 * 0.07 / np.sqrt(3)), rel=0.12)
    assert (grey - grey.mean(1, keepdims=True)).std() == pytest.approx(128 * 0.07 * np.sqrt(2 / 3), rel=0.15)
    linear = matrices[..., :3]
    gain = linear.sum(2).mean(1)  # of grey: contrast times tint
    assert np.log(gain).std() == pytest.approx(np.hypot(0.2, 0.07 / np.sqrt(3)), rel=0.12)
    saturation = np.abs(np.linalg.det(linear / gain[:, None, None])) ** 0.5  # grey is kept, two axes are scaled
    assert np.log(saturation).std() == pytest.approx(0.35, rel=0.15)
    assert abs(np.log(saturation).mean()) < 0.06
    turned = (linear / np.linalg.norm(linear, axis=1, keepdims=True))[:, [1, 2, 0], [0, 1, 2]].mean(1)
    assert abs(turned.mean() - turned.mean()) < 1e-9 and turned.std() > 0.05
    weak = np.stack([colour_matrix(np.random.default_rng(seed), 0.1) for seed in range(100)])
    assert np.abs(weak[..., :3] - np.eye(3)).max() < 0.25


def test_hue_turns_about_the_grey_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    class Turned:
        def __init__(self) -> None:
            self.values = [2 * np.pi / 3]

        def normal(self, mean: float, spread: float, count: int | None = None) -> object:
            value = self.values.pop() if self.values else 0.0
            return value if count is None else np.zeros(count)

    matrix = colour_matrix(Turned(), 1.0)  # type: ignore[arg-type]
    turned = matrix[:, :3] @ np.eye(3)
    assert np.allclose(sorted(turned.ravel()), [0] * 6 + [1] * 3, atol=1e-5), "a third of a turn moves R to G to B"
    assert np.allclose(turned @ (200, 100, 50), (50, 200, 100), atol=1e-3)


class Told:
    """Draws of a normal distribution that are told; keeps the spreads that were asked for."""

    def __init__(self, *values: float) -> None:
        self.values, self.spreads = list(values), []  # type: ignore[var-annotated]

    def normal(self, mean: float, spread: float, count: int | None = None) -> object:
        self.spreads.append(spread)
        value = self.values.pop(0) if self.values else 0.0
        return value if count is None else np.full(count, value)


def test_the_spread_of_each_change_grows_with_the_strength() -> None:
    for strength in (1.0, 2.0):
        told = Told()
        assert np.allclose(colour_matrix(told, strength), np.eye(3, 4), atol=1e-6)  # type: ignore[arg-type]
        assert told.spreads == pytest.approx([s * strength for s in (0.25, 0.35, 0.2, 0.07, 18)])


def test_what_is_greyed_was_turned_before() -> None:
    matrix = colour_matrix(Told(2 * np.pi / 3, -50.0), 1.0)  # type: ignore[arg-type]
    assert np.allclose(matrix @ (200, 100, 50, 1), GREY @ (50, 200, 100), atol=1e-3)


def test_nothing_at_all_happens_at_times(scripted: Script) -> None:
    assert np.array_equal(plain(scripted, frames=2), np.stack([picture()] * 2))


def test_the_input_is_left_alone_and_no_pixel_is_moved() -> None:
    frames = np.zeros((4, 64, 64, 3), np.uint8)
    frames[:, 20:40, 20:40] = 200
    for seed in range(40):
        changed = degrade(frames, np.random.default_rng(seed)).astype(float).mean(3)
        assert changed.shape == (4, 64, 64)
        inside, outside = changed[:, 25:35, 25:35].mean((1, 2)), changed[:, 50:, 50:].mean((1, 2))
        assert (np.abs(inside - outside) > 5).all(), "the square stays visible where it was"
    assert (frames[:, 0, 0] == 0).all() and (frames[:, 30, 30] == 200).all()


def test_colours_change_alike_on_all_frames(scripted: Script) -> None:
    changed = plain(scripted, colours=0.5, frames=3)
    assert np.array_equal(changed[0], changed[1]) and not np.array_equal(changed[0], picture())


def test_some_clips_are_grey(scripted: Script) -> None:
    changed = plain(scripted, grey=0.0)[0].astype(float)
    assert np.ptp(changed, axis=2).max() == 0
    assert np.abs(changed[..., 0] - picture() @ GREY).max() <= 1.01


def test_gamma_bends_the_curve_but_not_its_ends(scripted: Script) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3))[None]
    row = plain(scripted, gamma=0.0, clip=ramp)[0, 0, :, 0].astype(float)
    assert row[0] == 0 and row[255] == 255 and (np.diff(row) >= 0).all()
    power = np.log(row[128] / 255) / np.log(128 / 255)
    assert power != pytest.approx(1, abs=0.02)
    assert np.abs(row - 255 * (np.arange(256) / 255) ** power).max() < 2


def test_noise_is_grey_and_of_the_size_drawn(scripted: Script) -> None:
    flat = np.full((2, 64, 64, 3), 128, np.uint8)
    sizes = []
    for seed in range(12):
        grain = plain(scripted, noise=0.0, clip=flat, seed=seed).astype(float) - 128
        assert np.ptp(grain, axis=3).max() == 0 and not np.array_equal(grain[0], grain[1])
        assert abs(grain.mean() + 0.5) < 0.6
        sizes.append(grain.std())
    assert 1.5 < min(sizes) < max(sizes) < 12.5 and np.ptp(sizes) > 3


def test_compression_and_coarseness_lose_detail(scripted: Script) -> None:
    squeezed = plain(scripted, quality=0.0)[0].astype(float)
    error = np.abs(squeezed - picture()).mean()
    assert 2 < error < 60 and squeezed.mean() == pytest.approx(picture().mean(), abs=3)
    order = squeezed.mean((0, 1)) - picture().mean((0, 1))
    assert np.abs(order).max() < 8, "channels keep their places"
    coarse = plain(scripted, coarse=0.0)[0].astype(float)
    assert coarse.shape == (32, 32, 3) and coarse.std() < 0.85 * picture().std()


def test_flicker_changes_each_frame_a_little(scripted: Script) -> None:
    rng = scripted([NO] * 8, 0)
    rng.choice = lambda options, **named: options[1]  # type: ignore[method-assign]
    changed = degrade(np.stack([picture()] * 3), rng).astype(float)
    assert not np.array_equal(changed[0], changed[1]) and not np.array_equal(changed[1], changed[2])
    assert np.abs(changed - picture()).mean() < 20


def test_blur_of_a_clip_is_out_of_focus_or_shaken(scripted: Script) -> None:
    assert blur_plan(scripted([0.5]), 3, 100) == [None] * 3
    focus = blur_plan(scripted([0.05, 0.5]), 3, 100)
    for kernel in focus:
        assert kernel is not None and kernel.shape == (9, 9) and kernel.sum() == pytest.approx(1, abs=1e-5)
        assert np.allclose(kernel, kernel.T) and kernel[4, 4] == kernel.max()
    sharpest = [float(blur_plan(scripted([0.05, 0.5], seed), 1, 100)[0].max()) for seed in range(40)]  # type: ignore[union-attr]
    assert 0.04 < min(sharpest) < 0.06 and 0.35 < max(sharpest) < 0.45, "of 2.0 and of 0.6 pixels"
    some = [blur_plan(scripted([0.05, 0.9], seed), 6, 100) for seed in range(20)]
    share = np.mean([[k is not None for k in plan] for plan in some])
    assert 0.35 < share < 0.65, "half of the frames"
    lengths = []
    for seed in range(30):
        shaken = blur_plan(scripted([0.15, 0.1], seed), 4, 100)
        for kernel in shaken:
            if kernel is not None:
                assert kernel.sum() == pytest.approx(1, abs=1e-5)
                lengths.append(kernel.shape[0])
    assert min(lengths) >= 5 and max(lengths) <= 2 * (int(np.ceil(7.2 / 2)) + 1) + 1 and np.ptp(lengths) >= 2
    whole = [blur_plan(scripted([0.15, 0.1], seed), 6, 400) for seed in range(10)]
    assert all(kernel is not None for plan in whole for kernel in plan), "a shaken camera, on all frames"
    none = [k for seed in range(30) for k in blur_plan(scripted([0.15, 0.1], seed), 4, 20)]
    assert None in none, "less than two pixels is no blur"
    assert 0.3 < np.mean([k is None for s in range(20) for k in blur_plan(scripted([0.15, 0.9], s), 4, 300)]) < 0.7


def test_blur_reaches_the_frames(scripted: Script) -> None:
    dot = np.zeros((1, 33, 33, 3), np.uint8)
    dot[0, 16, 16] = 255
    blurred = plain(scripted, blur=0.05, clip=dot)[0, ..., 0].astype(float)
    assert blurred[16, 16] < 200 and blurred[16, 17] > 10
    assert blurred[16, 16] == blurred.max(), "in place"


def test_fog_covers_a_part_in_one_colour_and_drifts() -> None:
    shares, strongest, moved = [], [], []
    for seed in range(40):
        frames = np.zeros((3, 48, 48, 3), np.uint8)
        add_fog(frames, np.random.default_rng(seed))
        shares.append((frames[0].sum(2) > 0).mean())
        strongest.append(int(frames.max()))
        moved.append(not np.array_equal(frames[0], frames[2]))
        white = np.full((3, 48, 48, 3), 255, np.uint8)
        add_fog(white, np.random.default_rng(seed))
        assert (white.astype(int) - frames >= 0).all(), "what was bright stays the brighter"
    assert 0.1 < np.mean(shares) < 0.8 and max(strongest) < 230 and np.mean(strongest) > 40 and np.mean(moved) > 0.8


def test_fog_drifts_by_its_own_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to 0.4 of the frame either way, in each direction."""
    asked: list[float] = []

    def curve(rng: np.random.Generator, frames: int, change: float) -> np.ndarray:
        asked.append(change)
        return np.zeros(frames)

    monkeypatch.setattr("univs.data.appearance.smooth_curve", curve)
    for seed in range(200):
        add_fog(np.zeros((4, 16, 16, 3), np.uint8), np.random.default_rng(seed))
    drift = np.reshape(asked, (200, 3)) / (16, 16, 1)
    assert np.abs(drift[:, :2]).max() <= 0.4 and np.abs(drift[:, 2]).max() <= 0.8
    assert drift.std(0) == pytest.approx([0.4 / 3**0.5, 0.4 / 3**0.5, 0.8 / 3**0.5], rel=0.12)
    assert np.abs(drift.mean(0)).max() < 0.1


def test_clouds_lie_where_they_drift_to_and_are_as_dense_as_they_are_strong(monkeypatch: pytest.MonkeyPatch) -> None:
    def fog(*curves: float) -> np.ndarray:
        """Of one seed, with the drift across and down in pixels, and what its strength changes by."""
        left = list(curves)
        monkeypatch.setattr("univs.data.appearance.smooth_curve", lambda rng, n, change: np.full(n, left.pop(0)))
        frames = np.zeros((1, 32, 32, 3), np.uint8)
        add_fog(frames, np.random.default_rng(3))
        return frames[0]

    still = fog(0, 0, 0)
    assert 0 < still.max() < fog(0, 0, 5).max() and not fog(0, 0, -5).any()
    assert np.array_equal(fog(5, 0, 0)[:, :-5], still[:, 5:]) and np.array_equal(fog(0, 7, 0)[:-7], still[7:])


class Counting(np.random.Generator):
    """Counts the noise that it draws."""

    grains = 0

    def standard_normal(self, *given: object, **named: object) -> object:  # type: ignore[override]
        self.grains += 1
        return super().standard_normal(*given, **named)  # type: ignore[call-overload]


def test_how_often_frames_lose_quality_and_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("univs.data.appearance.add_fog", lambda frames, rng: None)
    qualities, scales = [], []
    encode, resize = cv2.imencode, cv2.resize

    def encoded(kind: str, image: np.ndarray, options: list[int]) -> object:
        qualities.append(options[1])
        return encode(kind, image, options)

    def resized(image: np.ndarray, size: object, **named: object) -> object:
        scales.extend([named["fx"]] if "fx" in named else [])
        return resize(image, size, **named)

    monkeypatch.setattr(cv2, "imencode", encoded)
    monkeypatch.setattr(cv2, "resize", resized)
    noisy = 0
    for seed in range(1000):
        rng = Counting(np.random.PCG64(seed))
        degrade(np.stack([picture(size=8)]), rng)
        noisy += rng.grains
    assert 0.21 < noisy / 1000 < 0.29 and 0.21 < len(qualities) / 1000 < 0.29 and 0.07 < len(scales) / 1000 < 0.13
    assert 25 <= min(qualities) < 30 and 80 < max(qualities) < 85
    assert 0.4 <= min(scales) < 0.45 and 0.75 < max(scales) <= 0.8


def test_how_often_clips_are_degraded(monkeypatch: pytest.MonkeyPatch) -> None:
    fog = 0

    def foggy(frames: np.ndarray, rng: object) -> None:
        nonlocal fog
        fog += 1

    monkeypatch.setattr("univs.data.appearance.add_fog", foggy)
    plans = []
    blur = blur_plan

    def planned(*given: object) -> object:
        plans.append(blur(*given))  # type: ignore[arg-type]
        return plans[-1]

    monkeypatch.setattr("univs.data.appearance.blur_plan", planned)
    bases: list[np.ndarray] = []

    def painted(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        bases.append(matrix)
        return recolour(image, matrix)

    monkeypatch.setattr("univs.data.appearance.recolour", painted)
    grey, same, flicker = 0, 0, 0
    for seed in range(1200):
        bases.clear()
        degrade(np.stack([picture(size=8)]), np.random.default_rng(seed))
        grey += int(np.allclose(bases[0][:, :3], GREY))
        same += int(np.array_equal(bases[0], np.eye(3, 4, dtype=np.float32)))
        flicker += len(bases) - 1
    assert 0.09 < fog / 1200 < 0.15
    share = np.mean([plan[0] is not None for plan in plans])
    assert 0.05 < share < 0.12, "out of focus; shaking is less than two pixels of so few"
    assert 0.015 < grey / 1200 < 0.05 and 0.15 < same / 1200 < 0.25 and 0.6 < flicker / 1200 < 0.73
