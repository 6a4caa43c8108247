"""Random changes of colour, sharpness and image quality over a clip; none moves a pixel."""

from __future__ import annotations

import numpy as np

from univs.data.cutouts import line_kernel
from univs.data.warps import opencv, pace, smooth_curve

GREY = np.array([0.299, 0.587, 0.114], np.float32)


def colour_matrix(rng: np.random.Generator, strength: float) -> np.ndarray:
    """Random hue, saturation, contrast, brightness and tint as one 3 4 matrix on RGB; `strength` 0 is no change."""
    hue = rng.normal(0, 0.25 * strength)
    axis = np.full(3, 1 / np.sqrt(3))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.cos(hue) * np.eye(3) + np.sin(hue) * cross + (1 - np.cos(hue)) * np.outer(axis, axis)
    saturation = float(np.exp(rng.normal(0, 0.35 * strength)))
    saturate = saturation * np.eye(3) + (1 - saturation) * np.ones((3, 1)) * GREY
    contrast = float(np.exp(rng.normal(0, 0.2 * strength)))
    tint = np.diag(np.exp(rng.normal(0, 0.07 * strength, 3)))
    linear = contrast * tint @ saturate @ turn
    shift = 128 * (1 - contrast) + rng.normal(0, 18 * strength) * np.ones(3)
    return np.concatenate([linear, shift[:, None]], 1).astype(np.float32)


def recolour(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Image H W 3 uint8 under a 3 4 colour matrix."""
    result: np.ndarray = opencv().transform(image, matrix)
    return result


def degrade(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Clip T S S 3 with colours changed, and now and then fog, blur, noise or compression; uint8 as before."""
    cv2 = opencv()
    count, size = frames.shape[:2]
    frames = frames.copy()
    if rng.random() < 0.12:
        add_fog(frames, rng)
    base = colour_matrix(rng, 1.0) if rng.random() < 0.8 else colour_matrix(rng, 0.0)
    if rng.random() < 0.03:
        base[:, :3] = GREY
    flicker = rng.choice([0.0, 0.1, 0.3])
    gamma = np.exp(rng.normal(0, 0.2)) if rng.random() < 0.5 else 1.0
    curve = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
    blur = blur_plan(rng, count, size)
    noise = rng.uniform(2, 12) if rng.random() < 0.25 else 0.0
    quality = int(rng.integers(25, 85)) if rng.random() < 0.25 else None
    coarse = rng.uniform(0.4, 0.8) if rng.random() < 0.1 else 1.0
    for index in range(count):
        frame = recolour(frames[index], base)
        if flicker:
            frame = recolour(frame, colour_matrix(rng, float(flicker)))
        frame = cv2.LUT(frame, curve)
        if blur[index] is not None:
            frame = cv2.filter2D(frame, -1, blur[index], borderType=cv2.BORDER_REFLECT_101)
        if coarse < 1:
            small = cv2.resize(frame, None, fx=coarse, fy=coarse, interpolation=cv2.INTER_AREA)
            frame = cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)
        if noise:
            grain = rng.standard_normal((size, size, 1), dtype=np.float32) * np.float32(noise)
            frame = np.clip(frame + grain, 0, 255).astype(np.uint8)
        if quality is not None:
            frame = cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
        frames[index] = frame
    return frames


def blur_plan(rng: np.random.Generator, count: int, size: int) -> list[np.ndarray | None]:
    """A blur kernel (or none) for each frame: lack of focus, or a shaken camera on all or on some frames."""
    kind = rng.random()
    if kind < 0.10:  # out of focus, more or less so over the clip
        line = opencv().getGaussianKernel(9, float(rng.uniform(0.6, 2.0))).astype(np.float32)
        chosen = np.ones(count, bool) if rng.random() < 0.6 else rng.random(count) < 0.5
        return [line @ line.T if c else None for c in chosen]
    if kind < 0.20:
        angle, length = rng.uniform(0, np.pi), rng.uniform(0.012, 0.06) * size
        chosen = np.ones(count, bool) if rng.random() < 0.4 else rng.random(count) < 0.5
        lengths = length * rng.uniform(0.6, 1.2, count)
        return [
            line_kernel(n * np.cos(angle), n * np.sin(angle)) if c and n >= 2 else None
            for c, n in zip(chosen, lengths, strict=True)
        ]
    return [None] * count


def add_fog(frames: np.ndarray, rng: np.random.Generator) -> None:
    """Drifting clouds (smoke, dust, spray) of one bright or grey colour over part of the clip, in place."""
    cv2 = opencv()
    count, size = frames.shape[:2]
    cells = int(rng.integers(5, 10))
    noise = rng.standard_normal((cells, cells), dtype=np.float32)
    noise = cv2.resize(noise, (2 * size, 2 * size), interpolation=cv2.INTER_CUBIC)
    colour = np.float32(rng.uniform(110, 240)) + rng.normal(0, 8, 3).astype(np.float32)
    density = rng.uniform(0.4, 0.85)
    threshold = rng.uniform(-0.2, 0.7)
    drift = [smooth_curve(rng, count, rng.uniform(-0.4, 0.4) * size * pace(count)) for _ in range(2)]
    strength = np.clip(rng.uniform(0.3, 1.0) + smooth_curve(rng, count, rng.uniform(-0.8, 0.8)), 0, 1)
    for index in range(count):
        x, y = (int(np.clip(size // 2 + d[index], 0, size)) for d in drift)
        cloud = np.clip((noise[y : y + size, x : x + size] - threshold) / 1.2, 0, 1) * (density * strength[index])
        cloud = cloud[..., None].astype(np.float32)
        frames[index] = (frames[index] * (1 - cloud) + colour * cloud).astype(np.uint8)
