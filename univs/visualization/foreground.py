"""The colours of a subject and of what is behind it, where a pixel shows both: without them a halo is left.

Blur fusion (Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021), from coarse to fine; in the coarse
means the pixels that are nearly of one side alone count most here, which on soft and thin edges halves what is off.
All in light (`linear_light`); alpha is the share of the subject.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from univs.visualization.alpha import Alpha, box_mean

Light = NDArray[np.float32]

WINDOWS = (90 / 480, 6 / 480)
"""Sides of the means, shares of the short side of a frame."""
UNCERTAIN = 0.01
"""Alpha that differs so much from 0 and 1 needs colours of its own."""
EPSILON = 1e-5
SURE = 4
"""Power of alpha that pixels weigh in the coarse means."""


def estimate_colours(light: Light, alpha: Alpha) -> tuple[Light, Light]:
    """Foreground and background H W 3 of a frame ``a F + (1 - a) B``.

    Where alpha is as good as 0 or 1, both are the frame itself.
    Args:
        light: H W 3, 0..1. alpha: H W, 0..1.
    """
    foreground, background = light.copy(), light.copy()
    mixed = (alpha > UNCERTAIN) & (alpha < 1 - UNCERTAIN)
    if not mixed.any():
        return foreground, background
    sides = [max(1, round(window * min(alpha.shape))) for window in WINDOWS]
    part = around(mixed, sum(sides))
    for inner, outer in zip(fused(light[part], alpha[part], sides), (foreground, background), strict=True):
        outer[part] = np.where(mixed[part][..., None], inner, outer[part])
    return foreground, background


def fused(light: Light, alpha: Alpha, sides: list[int]) -> tuple[Light, Light]:
    """`estimate_colours` everywhere, with means of these sides, pixels, one after the other."""
    share = alpha[..., None]
    foreground, background = light, light
    for number, side in enumerate(sides):
        inside, outside = (share**SURE, (1 - share) ** SURE) if number == 0 else (share, 1 - share)
        near = box_mean(foreground * inside, side) / (box_mean(inside, side) + EPSILON)
        behind = box_mean(background * outside, side) / (box_mean(outside, side) + EPSILON)
        rest = light - share * near - (1 - share) * behind
        foreground, background = np.clip(near + share * rest, 0, 1), np.clip(behind, 0, 1)
    return foreground, background


def around(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """The part of an array that holds a mask and so many pixels around it."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + 1 + margin),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + 1 + margin),
    )
