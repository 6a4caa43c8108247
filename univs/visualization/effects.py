"""Effects on frames: the subject before another background, alone in colour, cut out, in the light.

Each takes a frame H W 3 uint8 (sRGB) and the subject's alpha H W float32 in 0..1 (`alpha.py`), wherever it comes from,
and mixes in linear light. Where alpha is 1 the frame is left to the last bit, where it is 0 what is behind it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from univs.visualization.alpha import Alpha, feathered, smooth
from univs.visualization.foreground import EPSILON, Light, estimate_colours
from univs.visualization.linear_light import decoded, encoded, luma

Picture = NDArray[np.uint8]

FEATHER = 0.005
"""Blur of alpha where colours stay the frame's own, share of the height: no coloured fringe is left."""
BLUR = 0.03
"""Of a blurred background, share of the height."""
DARKNESS = 0.75
"""Share of the light that a spotlight takes away around the subject."""
WRAP = 0.2
"""Most light that comes around the edge of a subject."""


def replace_background(frame: Picture, alpha: Alpha, background: Picture, *, light_wrap: bool = False) -> Picture:
    """The subject before another background, with colours of its own at the rim.

    Args:
        background: H W 3, or one colour of 3 numbers.
        light_wrap: whether some of the background's light comes around the edges.
    """
    behind = np.broadcast_to(decoded(np.asarray(background, np.uint8)), frame.shape)
    return _composed(frame, alpha, behind, light_wrap)


def blur_background(frame: Picture, alpha: Alpha, amount: float = BLUR) -> Picture:
    """The subject sharp before its blurred background, into which it does not bleed.

    amount: of the blur, share of the height.
    """
    light, around = decoded(frame), (1 - alpha)[..., None]
    blurred = smooth(np.concatenate([light * around, around], 2), amount * len(frame))
    colours, weight = blurred[..., :3], blurred[..., 3:]
    # what has no background near it is far within the subject, and seen by nobody
    behind = np.where(weight > 100 * EPSILON, np.clip(colours / (weight + EPSILON), 0, 1), light)
    return _composed(frame, alpha, behind.astype(np.float32))


def colour_pop(
    frame: Picture, alpha: Alpha, amount: float = 1.0, tone: float = 1.0, feather: float = FEATHER
) -> Picture:
    """The subject alone in colour, all else grey of the same brightness.

    Args:
        amount: share of the colour that is taken away, 0..1.
        tone: exponent of the brightness around the subject; above 1 darker.
        feather: blur of alpha, share of the height.
    """
    light = decoded(frame)
    share = (1 - feathered(alpha, feather))[..., None]
    brightness = luma(light)[..., None]
    around = light + np.float32(amount) * (brightness - light)
    if tone != 1:
        around = around * np.power(np.maximum(brightness, EPSILON), np.float32(tone - 1))
    return encoded((light + share * (around - light)).astype(np.float32))


def spotlight(frame: Picture, alpha: Alpha, darkness: float = DARKNESS, feather: float = FEATHER) -> Picture:
    """The subject as it is, all else darker.

    darkness: share of the light that is taken away, 0..1. feather: blur of alpha, share of the height.
    """
    taken = np.float32(darkness) * (1 - feathered(alpha, feather))
    return encoded(decoded(frame) * (1 - taken)[..., None])


def cut_out(frame: Picture, alpha: Alpha) -> Picture:
    """H W 4: the subject's own colours, and alpha that they are not multiplied by (straight alpha)."""
    foreground, _ = estimate_colours(decoded(frame), alpha)
    opacity = np.round(np.clip(alpha, 0, 1) * 255).astype(np.uint8)
    return np.concatenate([encoded(foreground), opacity[..., None]], 2)


def cover(picture: Picture, size: tuple[int, int]) -> Picture:
    """A picture of any size as h w 3 that it covers whole, cut and not stretched."""
    height, width = size
    if picture.shape[:2] == size:
        return picture
    scale = max(height / picture.shape[0], width / picture.shape[1])
    tall, wide = height / scale, width / scale
    # rounding may not lead beyond the picture
    top, left = max(0.0, (picture.shape[0] - tall) / 2), max(0.0, (picture.shape[1] - wide) / 2)
    part = (left, top, min(left + wide, picture.shape[1]), min(top + tall, picture.shape[0]))
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS, box=part))


def _composed(frame: Picture, alpha: Alpha, behind: Light, light_wrap: bool = False) -> Picture:
    """The subject of a frame before light H W 3."""
    foreground, _ = estimate_colours(decoded(frame), alpha)
    share = alpha[..., None]
    light = behind + share * (foreground - behind)
    if light_wrap:
        light = light + np.float32(WRAP) * share * (1 - share) * smooth(np.ascontiguousarray(behind), BLUR * len(frame))
    return encoded(np.where(share == 1, foreground, light))
