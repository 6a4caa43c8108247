"""Overlay modes pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from univs.errors import UserError
from univs.visualization import object_color, overlay_mode

FRAME = np.random.default_rng(0).integers(0, 256, (12, 14, 3), dtype=np.uint8)


def squares(second: int = 2) -> np.ndarray:
    labels = np.zeros((12, 14), np.uint16)
    labels[2:6, 2:6], labels[2:6, 6:10] = 1, second
    return labels


def test_objects_are_tinted_and_outlined() -> None:
    shown, labels = overlay_mode(FRAME, squares()), squares()
    for y, x in np.ndindex(12, 14):
        near = [labels[y, x]] + [
            labels[y + dy, x + dx]
            for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0))
            if 0 <= y + dy < 12 and 0 <= x + dx < 14
        ]
        if any(other not in (0, labels[y, x]) for other in near):
            expected = [0, 0, 0]
        elif labels[y, x]:
            colour = {1: (255, 50, 50), 2: (50, 255, 50)}[int(labels[y, x])]
            expected = [int(p * 0.5 + c * 0.5) for p, c in zip(FRAME[y, x].tolist(), colour, strict=True)]
        else:
            expected = FRAME[y, x].tolist()
        assert shown[y, x].tolist() == expected, (y, x)


def test_what_the_modes_do_to_the_rest() -> None:
    fade, light = overlay_mode(FRAME, squares(), "fade"), overlay_mode(FRAME, squares(), "light")
    assert np.array_equal(fade[8:], (FRAME[8:] * 0.6).astype(np.uint8)) and np.array_equal(light[8:], FRAME[8:])
    assert np.array_equal(fade[3, 3], overlay_mode(FRAME, squares())[3, 3])
    assert np.array_equal(light[3, 3], (FRAME[3, 3] * 0.9 + np.array((255, 50, 50)) * (1 - 0.9)).astype(np.uint8))
    assert np.array_equal(overlay_mode(FRAME, np.zeros((12, 14), int)), FRAME)


def test_any_number_of_objects_has_a_colour() -> None:
    shown = overlay_mode(FRAME, squares(300))
    assert np.array_equal(shown[3, 8], (FRAME[3, 8] * 0.5 + np.array(object_color(300)) * 0.5).astype(np.uint8))
    with pytest.raises(UserError, match="overlay mode 'dark': davis, fade, light are known"):
        overlay_mode(FRAME, squares(), "dark")  # type: ignore[arg-type]
