"""Masks become alpha: soft edges that follow the picture and keep still in time.

Alpha is the share of the subject in the light of a pixel, H W float32 in 0..1. Nothing here is ever a hard threshold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from univs.visualization.linear_light import grey

Alpha = NDArray[np.float32]

RADIUS, EPSILON = 6 / 480, 1e-4
"""Of the guided filter: share of the short side; squared steps of grey that count as none."""
CERTAIN = 0.1
"""What is so close to 0 or 1 after the filter is 0 or 1."""
STILL = 0.04
"""Change of a pixel between frames, of 1, that counts as half of one."""
CUT = 0.25
"""Mean change between frames, of 1, that is a cut to another scene."""


def box_mean(maps: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """H W or H W C -> the mean of each place's `size` x `size` neighbours; the border goes on as it ends."""
    from scipy.ndimage import uniform_filter  # takes its time to import

    sizes = (size, size, *(1,) * (maps.ndim - 2))
    mean: NDArray[np.float32] = uniform_filter(maps, sizes, mode="nearest")
    return mean


def smooth(maps: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """H W or H W C blurred by what is close to a Gaussian of that many pixels: three means, however wide."""
    for side in sides_of(sigma):
        maps = maps if side == 1 else box_mean(maps, side)
    return maps


def sides_of(sigma: float) -> tuple[int, int, int]:
    """Odd sides of three means that spread nearly as a Gaussian does: a mean of n has the variance (n^2 - 1) / 12."""
    small = (int(np.sqrt(4 * sigma**2 + 1)) - 1) // 2 * 2 + 1
    missing = 12 * sigma**2 - 3 * (small**2 - 1)
    wider = min(3, round(missing / (4 * small + 4)))
    return tuple(small + 2 * (number < wider) for number in range(3))  # type: ignore[return-value]


def guided_filter(guide: NDArray[np.float32], maps: NDArray[np.float32], radius: int, epsilon: float) -> Alpha:
    """A map that is linear in the guide within each window (He et al., ECCV 2010, eq. 5 to 8).

    Args:
        guide: H W, 0..1. maps: H W.
        radius: of a window, pixels.
        epsilon: variance of the guide below which it counts as constant.
    Returns:
        H W.
    """
    size = 2 * radius + 1
    mean, target = box_mean(guide, size), box_mean(maps, size)
    variance: Alpha = box_mean(guide * guide, size) - mean * mean
    variance += epsilon
    slope: Alpha = box_mean(guide * maps, size) - mean * target
    slope /= variance
    offset: Alpha = target - slope * mean
    return box_mean(slope, size) * guide + box_mean(offset, size)


def soft_alpha(mask: NDArray[Any], frame: NDArray[np.uint8]) -> Alpha:
    """A mask H W, yes or no or probabilities 0..1, with edges that follow those of its frame H W 3."""
    maps = mask.astype(np.float32)
    radius = max(1, round(RADIUS * min(mask.shape)))
    filtered = guided_filter(grey(frame), maps, radius, EPSILON)
    return np.clip((filtered - CERTAIN) / (1 - 2 * CERTAIN), 0, 1).astype(np.float32)


def feathered(alpha: Alpha, share: float) -> Alpha:
    """Alpha whose edges are blurred by a share of the height."""
    return np.clip(smooth(alpha, share * alpha.shape[0]), 0, 1).astype(np.float32)


class AlphaSmoother:
    """Alpha over time: where the picture stands still, half of what it was; where it changes, what it is.

    What a frame gives depends on those before it alone. Nothing goes over a cut.
    """

    def __init__(self) -> None:
        self._alpha: Alpha | None = None
        self._frame: NDArray[np.float32] | None = None

    def __call__(self, alpha: Alpha, frame: NDArray[np.uint8]) -> Alpha:
        """The next frame, H W 3, and its alpha H W -> the smoothed alpha."""
        shown: NDArray[np.float32] = frame.astype(np.float32) / np.float32(255)
        if self._alpha is not None and self._frame is not None:
            change = np.abs(shown - self._frame).max(2)
            if change.mean() < CUT:
                past = 0.5 * np.exp(-((change / STILL) ** 2))
                alpha = (alpha + past * (self._alpha - alpha)).astype(np.float32)
        self._alpha, self._frame = alpha, shown
        return alpha
