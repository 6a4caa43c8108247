"""Numbers of pictures and light."""

from __future__ import annotations

import numpy as np
import pytest

from univs.visualization.linear_light import decoded, encoded, grey, luma

EVERY = np.arange(256, dtype=np.uint8)


def test_every_number_is_found_again() -> None:
    assert np.array_equal(encoded(decoded(EVERY)), EVERY)


@pytest.mark.parametrize(("number", "light"), [(0, 0), (255, 1), (128, 0.21586), (10, 10 / 255 / 12.92)])
def test_light_of_known_numbers(number: int, light: float) -> None:
    assert decoded(np.array([number], np.uint8))[0] == pytest.approx(light, abs=1e-5)


def test_dark_light_is_the_nearest_number() -> None:
    light = np.random.default_rng(0).random(4000) * 0.02
    exact = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    found = encoded(light.astype(np.float32)).astype(float)
    assert np.abs(found - exact).max() < 0.53 and np.mean(found != np.round(exact)) < 0.04


def test_light_is_cut_to_what_there_is() -> None:
    assert encoded(np.array([-0.5, 0.21586, 2.0], np.float32)).tolist() == [0, 128, 255]


def test_brightness_is_that_of_bt709() -> None:
    colours = np.eye(3, dtype=np.uint8)[None] * 255
    assert luma(decoded(colours))[0].tolist() == pytest.approx([0.2126, 0.7152, 0.0722], abs=1e-6)
    assert grey(np.full((2, 2, 3), 255, np.uint8)) == pytest.approx(np.ones((2, 2)), abs=1e-6)
