"""Colours to look at, brighter than those of label files."""

from __future__ import annotations

import colorsys

RGB = tuple[int, int, int]

_HUES = (0.01, 0.58, 0.13, 0.38, 0.86, 0.49, 0.07, 0.72)  # neighbouring ids lie far apart on the colour wheel
_GOLDEN = 0.618033988749895


def object_color(object_id: int) -> RGB:
    """A saturated RGB colour for an object id; the first eight are chosen by hand, the rest walk round the wheel."""
    number = object_id - 1
    hue = _HUES[number] if 0 <= number < len(_HUES) else (0.21 + number * _GOLDEN) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.82 if number % 2 == 0 else 0.7, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def class_palette(count: int) -> list[RGB]:
    """Colours of so many classes: neighbours lie far apart on the colour wheel, and lightness varies as well.

    A longer palette begins as a shorter one does.
    """
    palette = []
    for number in range(count):
        hue, ring = (0.55 + number * _GOLDEN) % 1.0, number % 3
        red, green, blue = colorsys.hsv_to_rgb(hue, (0.75, 0.5, 0.85)[ring], (0.9, 0.75, 0.6)[ring])
        palette.append((round(red * 255), round(green * 255), round(blue * 255)))
    return palette
