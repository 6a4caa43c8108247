"""From the numbers of pictures to amounts of light and back (sRGB, IEC 61966-2-1): mixtures are made of light."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Shares of red, green and blue light in what looks bright (BT.709)."""
STEPS = 65535
"""Of light that are told apart when it is encoded: the darkest number of 8 bits has twenty of them."""


def decoded(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Numbers 0..255 of any shape -> light 0..1."""
    return _decoding()[picture]


def encoded(light: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Light of any shape, cut to 0..1 -> the nearest numbers 0..255; `encoded(decoded(x))` is x."""
    steps = np.clip(light, 0, 1) * np.float32(STEPS) + np.float32(0.5)
    return _encoding()[steps.astype(np.uint16)]


def luma(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light ... 3 -> its brightness ..."""
    return light @ LUMA


def grey(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Numbers H W 3 -> their brightness as people see steps of it, 0..1: what filters are guided by."""
    return picture @ (LUMA / np.float32(255))


@lru_cache(maxsize=1)
def _decoding() -> NDArray[np.float32]:
    numbers = np.arange(256) / 255
    return np.where(numbers <= 0.04045, numbers / 12.92, ((numbers + 0.055) / 1.055) ** 2.4).astype(np.float32)


@lru_cache(maxsize=1)
def _encoding() -> NDArray[np.uint8]:
    light = np.arange(STEPS + 1) / STEPS
    numbers = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(numbers * 255).astype(np.uint8)
