"""Large-scale jitter of clips: the flip, turn, scale and crop of the official training, in one warp of every frame.

Pixel coordinates are continuous here: a frame of W pixels reaches from 0 to W.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from univs.data.warps import Motion, opencv

FILL = 128
"""Grey of what lies outside the frame."""
CENTRE = (0.4, 0.6)
"""Where the centre of the turn lies, as a share of width and height."""
SHIFT = 0.1
"""How far the crops of later frames lie from that of the first one, as a share of the room that a crop has."""


@dataclass(frozen=True)
class Jitter:
    """How much the frames of a clip are moved."""

    scales: tuple[float, float] = (0.25, 4.0)
    """Smallest and largest; 1 fits the whole frame into the crop. Every frame has its own."""
    rotation: float = 15.0
    """Degrees; a clip turns steadily, one way or the other, by angles of up to so much."""


@dataclass(frozen=True)
class JitteredClip:
    """T frames of S x S pixels after a jitter."""

    frames: np.ndarray
    """T S S 3 uint8."""
    labels: np.ndarray
    """T S S uint8; 0 outside the frame."""
    mirrored: bool


def jitter_clip(
    frames: np.ndarray, labels: np.ndarray, rng: np.random.Generator, size: int, jitter: Jitter
) -> JitteredClip:
    """Move the frames T H W 3 uint8 and label maps T H W uint8 of a clip into squares of `size` pixels."""
    motion, origin = draw_motion(rng, labels.shape, size, jitter)
    matrices = motion.matrices(origin)
    moved = [move(*pair, size) for pair in zip(frames, labels, matrices, strict=True)]
    return JitteredClip(np.stack([m[0] for m in moved]), np.stack([m[1] for m in moved]), motion.mirror)


def draw_motion(
    rng: np.random.Generator, shape: tuple[int, ...], size: int, jitter: Jitter
) -> tuple[Motion, tuple[float, float]]:
    """How a clip of shape (T, H, W) moves, and the point of its frames that `Motion.matrices` takes as origin."""
    count, height, width = shape
    sides = np.array([width, height], float)
    mirror = bool(rng.random() < 0.5)
    angles = np.sort(rng.uniform(-jitter.rotation, jitter.rotation, count))
    angles = np.deg2rad(angles[::-1] if rng.random() < 0.5 else angles)
    centre = rng.uniform(*CENTRE, 2) * sides
    scale = rng.uniform(*jitter.scales, count) * size / sides.max()
    room = np.maximum(scale[:, None] * sides - size, 0)
    shift = np.concatenate([np.zeros((1, 2)), rng.uniform(-SHIFT, SHIFT, (count - 1, 2))])
    corner = np.clip(rng.random(2) + shift, 0, 1) * room
    origin = (width - centre[0] if mirror else centre[0], centre[1])
    return Motion(scale[:, None] * centre - corner, scale, angles, np.ones(count), mirror), origin


def move(image: np.ndarray, labels: np.ndarray, matrix: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """An image H W 3 and its labels H W under a matrix 2 3 (frame -> square of `size` pixels)."""
    cv2 = opencv()
    mapped = cv2.warpAffine(labels, _between_centres(matrix), (size, size), flags=cv2.INTER_NEAREST)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale < 1:  # a warp takes single pixels: what becomes smaller is meaned before
        height, width = labels.shape
        small = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        matrix = matrix * [width / small[0], height / small[1], 1]
    flags = cv2.INTER_LINEAR
    drawn = cv2.warpAffine(image, _between_centres(matrix), (size, size), flags=flags, borderValue=(FILL,) * 3)
    return drawn, mapped


def _between_centres(matrix: np.ndarray) -> np.ndarray:
    """The same matrix for places of pixels as OpenCV counts them, from the centre of the first one."""
    moved = matrix.astype(np.float64).copy()
    moved[:, 2] += moved[:, :2].sum(1) / 2 - 0.5
    return moved
