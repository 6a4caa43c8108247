"""Drawing: one thing, warped and turned, into its place in the frame and in the label map.

The pixel path is whole numbers, or dyadic fractions that doubles hold exactly: Pillow's interpolation then gives the
same bytes on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from univs.data.synth.dice import dyadic
from univs.data.synth.look import Look
from univs.data.synth.scaling import resized
from univs.data.synth.spline import reach, warp

CELLS = (16, 32, 64)  # sides of a cell of the warp's mesh in frame pixels: powers of two, larger for larger things
OPAQUE = 128  # from this alpha on, a pixel is the thing's
SLOWEST_BLUR = 1.5  # pixels; shorter ways during the exposure do not blur


@dataclass(frozen=True)
class Pose:
    """Where a thing is on one frame, in pixels of the frame."""

    x: float
    y: float
    size: float  # length of the longer side
    shape: tuple[float, float]  # stretch in its own x and y; a negative x mirrors
    angle: float  # radians, clockwise
    pulls: np.ndarray  # 9 2, see `spline.warp`
    sweep: tuple[float, float]  # way during the exposure
    shadow: float  # 0..1, how dark a shadow it throws on the ground under it


def view(
    canvas: Image.Image,
    size: tuple[int, int],
    centre: np.ndarray,
    zoom: float,
    angle: float,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> Image.Image:
    """The part of a canvas that a camera sees, as a picture of `size` = H W; centre in canvas pixels."""
    height, width = size
    cosine, sine = dyadic(np.array([zoom * math.cos(angle), zoom * math.sin(angle)]), 16).tolist()
    x, y = dyadic(centre - np.array([cosine * width - sine * height, sine * width + cosine * height]) / 2).tolist()
    data = (cosine, -sine, x, sine, cosine, y)
    return canvas.transform((width, height), Image.Transform.AFFINE, data, resample)


def draw(frame: Image.Image, labels: np.ndarray, look: Look, pose: Pose, number: int) -> None:
    """Draw a thing over a frame (PIL RGB) and write `number` where it is opaque into the label map (H W uint8)."""
    box = _reach(look, pose, frame.size)
    if box is None:
        return
    left, top, right, bottom = box
    patch = _warped(look, pose, box)
    alpha = np.asarray(patch.getchannel("a"))
    if pose.shadow:
        _shadow(frame, pose, box, alpha)
    region = labels[top:bottom, left:right]
    region[alpha >= OPAQUE] = number
    if max(map(abs, pose.sweep)) >= SLOWEST_BLUR:
        patch = _swept(patch, pose.sweep)
    straight = patch.convert("RGBA")
    frame.paste(straight, (left, top), straight)


def _reach(look: Look, pose: Pose, frame_size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The box of frame pixels (left, top, right, bottom) that the thing may touch; None if it is out of sight."""
    longest = max(look.height, look.width)
    half = look.width / longest / 2, look.height / longest / 2
    if pose.pulls.any():
        half = reach(pose.pulls, half)
    half_x, half_y = pose.size * abs(pose.shape[0]) * half[0], pose.size * abs(pose.shape[1]) * half[1]
    cosine, sine = abs(math.cos(pose.angle)), abs(math.sin(pose.angle))
    x = half_x * cosine + half_y * sine + abs(pose.sweep[0]) / 2
    y = half_x * sine + half_y * cosine + abs(pose.sweep[1]) / 2
    left, top = max(0, math.floor(pose.x - x)), max(0, math.floor(pose.y - y))
    right, bottom = min(frame_size[0], math.ceil(pose.x + x)), min(frame_size[1], math.ceil(pose.y + y))
    return (left, top, right, bottom) if right > left and bottom > top else None


def _warped(look: Look, pose: Pose, box: tuple[int, int, int, int]) -> Image.Image:
    """What the box shows of the thing: a mesh of cells whose corners are taken back to the thing's own picture."""
    left, top, right, bottom = box
    cell = CELLS[int(pose.size >= 100) + int(pose.size >= 250)]
    across, down = -(-(right - left) // cell), -(-(bottom - top) // cell)
    x = np.arange(across + 1) * float(cell) + (left - pose.x)
    y = np.arange(down + 1)[:, None] * float(cell) + (top - pose.y)
    cosine, sine = math.cos(pose.angle), math.sin(pose.angle)
    u = (x * cosine + y * sine) / (pose.size * pose.shape[0])
    v = (y * cosine - x * sine) / (pose.size * pose.shape[1])
    own = np.stack([u, v], -1)
    if pose.pulls.any():
        own += warp(own, pose.pulls)
    longest = max(look.height, look.width)
    stretch = max(abs(pose.shape[0]), abs(pose.shape[1]))
    picture, level = look.at(pose.size * stretch / longest)
    scale = longest / (1 << level)
    middle = np.array([look.width, look.height]) / (2 << level)
    own = own * scale + middle
    corners = dyadic(own).tolist()
    cells = np.stack([own[:-1, :-1], own[:-1, 1:], own[1:, :-1], own[1:, 1:]])
    used = (cells.max(0) > 0).all(-1) & (cells.min(0) < np.array(picture.size)).all(-1)
    mesh = []
    for j in range(down):
        for i in np.flatnonzero(used[j]).tolist():
            quad = (*corners[j][i], *corners[j + 1][i], *corners[j + 1][i + 1], *corners[j][i + 1])
            mesh.append(((i * cell, j * cell, i * cell + cell, j * cell + cell), quad))
    patch = picture.transform((across * cell, down * cell), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)
    return patch.crop((0, 0, right - left, bottom - top))


def _swept(patch: Image.Image, sweep: tuple[float, float]) -> Image.Image:
    """The patch averaged along the way that the thing takes during the exposure (its middle stays)."""
    copies = min(8, 1 + int(max(map(abs, sweep)) / 1.5))
    pixels = np.asarray(patch)
    height, width = pixels.shape[:2]
    total = np.zeros((height, width, 4), np.uint16)
    for i in range(copies):
        share = (i + 0.5) / copies - 0.5
        dx, dy = math.floor(sweep[0] * share + 0.5), math.floor(sweep[1] * share + 0.5)
        if abs(dx) < width and abs(dy) < height:
            to = np.s_[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
            of = np.s_[max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)]
            total[to] += pixels[of]
    return Image.fromarray((total // copies).astype(np.uint8), "RGBa")


def _shadow(frame: Image.Image, pose: Pose, box: tuple[int, int, int, int], alpha: np.ndarray) -> None:
    """A soft dark ellipse on the ground under the lowest visible row of the thing."""
    rows = np.flatnonzero((alpha >= OPAQUE).any(1))
    if not len(rows):
        return
    columns = np.flatnonzero((alpha >= OPAQUE).any(0))
    wide = max(4, int((columns[-1] - columns[0]) * 1.1))
    high = max(2, wide // 5)
    foot = box[1] + int(rows[-1])
    middle = box[0] + int(columns[0] + columns[-1]) // 2
    mask = resized(_ELLIPSE, high, wide).point([int(level * pose.shadow) for level in range(256)])
    frame.paste(
        (15, 15, 20), (middle - wide // 2, foot - high // 2, middle - wide // 2 + wide, foot - high // 2 + high), mask
    )


def _ellipse() -> Image.Image:
    line = np.arange(64) * 2 - 63
    square = (line[:, None] ** 2 + line[None] ** 2) // 16
    return Image.fromarray(np.clip(255 - square, 0, 255).astype(np.uint8))


_ELLIPSE = _ellipse()
