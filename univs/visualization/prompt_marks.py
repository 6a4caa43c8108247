"""Prompts drawn where they were given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from univs.prompts import Box, Mask, Points, Prompt, Scribble, Text
from univs.visualization.overlay import outline
from univs.visualization.palette import RGB, object_color

_WHITE = (255, 255, 255)
_NEGATIVE = (230, 40, 40)


def draw_prompts(frame: NDArray[np.uint8], prompts: Sequence[Prompt]) -> NDArray[np.uint8]:
    """The frame with the prompts that were given on it, each in its object's colour with a white rim.

    frame: H x W x 3 RGB uint8; prompts in its pixels. Boxes and masks are outlined, points are dots (ringed in red
    where negative), scribbles are lines. Result: H x W x 3 RGB uint8, a new array.
    """
    height, width = frame.shape[:2]
    image = frame.copy()
    stroke = max(1, round(min(height, width) / 200))
    for prompt in prompts:
        if isinstance(prompt, Mask):
            image[outline(prompt.mask, 2 * stroke)] = _WHITE
            image[outline(prompt.mask, stroke)] = object_color(prompt.object_id)
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for prompt in prompts:
        if isinstance(prompt, Text):  # words are at no place
            continue
        color = object_color(prompt.object_id)
        if isinstance(prompt, Box):
            _draw_box(draw, prompt, color, stroke)
        elif isinstance(prompt, Points):
            _draw_points(draw, prompt, color, stroke)
        elif isinstance(prompt, Scribble):
            for line in prompt.strokes:
                pixels = [(x * (width - 1), y * (height - 1)) for x, y in line]
                draw.line(pixels, fill=_WHITE, width=4 * stroke, joint="curve")
                draw.line(pixels, fill=color, width=2 * stroke, joint="curve")
    return np.array(picture)


def _draw_box(draw: ImageDraw.ImageDraw, prompt: Box, color: RGB, stroke: int) -> None:
    x0, y0, x1, y1 = prompt.xyxy
    x1, y1 = max(x0, x1 - 1), max(y0, y1 - 1)  # right and bottom are exclusive
    draw.rectangle((x0 - stroke, y0 - stroke, x1 + stroke, y1 + stroke), outline=_WHITE, width=3 * stroke)
    draw.rectangle((x0, y0, x1, y1), outline=color, width=stroke)


def _draw_points(draw: ImageDraw.ImageDraw, prompt: Points, color: RGB, stroke: int) -> None:
    radius = 4 * stroke
    for (x, y), positive in zip(prompt.xy, prompt.labels, strict=True):
        rim = _WHITE if positive else _NEGATIVE
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color, outline=rim, width=2 * stroke)
