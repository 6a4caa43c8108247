"""Label maps drawn over their frames."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from univs.visualization.palette import object_color


def overlay(
    frame: NDArray[np.uint8],
    labels: NDArray[Any],
    names: Mapping[int, str] | None = None,
    *,
    opacity: float = 0.45,
    show_names: bool = True,
) -> NDArray[np.uint8]:
    """The frame with each object tinted, outlined and named.

    frame: H x W x 3 RGB uint8. labels: H x W object ids, 0 is background. names: what to write beside an object instead
    of its id. opacity: share of the object's colour inside the mask, 0..1. Result: H x W x 3 RGB uint8, a new array.
    """
    result = frame.copy()
    ids = np.unique(labels[labels != 0])
    if not len(ids):
        return result
    rows, columns = _bounds(labels != 0)
    part, part_labels = result[rows, columns], labels[rows, columns]
    colors = np.array([object_color(int(object_id)) for object_id in ids], dtype=np.float32)
    inside = part_labels != 0
    tint = colors[np.searchsorted(ids, part_labels[inside])]
    part[inside] = np.round(part[inside] * np.float32(1 - opacity) + tint * np.float32(opacity)).astype(np.uint8)
    edge = outline(part_labels, thickness=max(1, round(min(frame.shape[:2]) / 240)))
    part[edge] = colors[np.searchsorted(ids, part_labels[edge])].astype(np.uint8)
    if show_names:
        texts = {int(object_id): (names or {}).get(int(object_id), str(int(object_id))) for object_id in ids}
        result = _write_names(result, labels, texts)
    return result


def outline(labels: NDArray[Any], thickness: int = 1) -> NDArray[np.bool_]:
    """H x W, true on the pixels of each object that lie within `thickness` steps of a pixel of another label.

    What lies beyond the border of the array counts as the same label.
    """
    edge = np.zeros(labels.shape, dtype=bool)
    for axis in (0, 1):
        differs = np.diff(labels, axis=axis) != 0
        low, high = ((slice(None, -1), slice(1, None)) if a == axis else (slice(None),) * 2 for a in (0, 1))
        edge[low[0], high[0]] |= differs
        edge[low[1], high[1]] |= differs
    for _ in range(thickness - 1):
        grown = edge.copy()
        for axis in (0, 1):
            ahead = tuple(slice(1, None) if a == axis else slice(None) for a in (0, 1))
            behind = tuple(slice(None, -1) if a == axis else slice(None) for a in (0, 1))
            same = labels[ahead] == labels[behind]
            grown[ahead] |= edge[behind] & same
            grown[behind] |= edge[ahead] & same
        edge = grown
    return edge & (labels != 0)


def _bounds(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The part of an array that holds the mask and one pixel around it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(max(int(rows[0]) - 1, 0), int(rows[-1]) + 2), slice(max(int(columns[0]) - 1, 0), int(columns[-1]) + 2)


def _write_names(image: NDArray[np.uint8], labels: NDArray[Any], texts: Mapping[int, str]) -> NDArray[np.uint8]:
    """Write each name on a chip of the object's colour, above the object's top where there is room."""
    height, width = labels.shape
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    font = text_font(max(10, round(min(height, width) / 26)))
    for object_id, text in texts.items():
        mask = labels == object_id
        top = int(np.argmax(mask.any(axis=1)))
        center = float(np.flatnonzero(mask[top]).mean())
        left, upper, right, lower = draw.textbbox((0, 0), text, font=font)
        pad = max(2, round((lower - upper) * 0.35))
        chip_width, chip_height = right - left + 2 * pad + pad, lower - upper + 2 * pad
        x = min(max(center - chip_width / 2, 0), max(width - chip_width, 0))
        y = min(max(top - chip_height - pad, 0), max(height - chip_height, 0))
        color = object_color(object_id)
        draw.rounded_rectangle((x, y, x + chip_width, y + chip_height), radius=chip_height / 3, fill=color)
        ink = (20, 20, 24) if np.dot(color, (0.299, 0.587, 0.114)) > 140 else (255, 255, 255)
        draw.text((x + 1.5 * pad - left, y + pad - upper), text, font=font, fill=ink)
    return np.asarray(picture).copy()


@lru_cache(maxsize=16)
def text_font(size: int) -> Any:
    """Pillow's built-in font at a height in pixels."""
    return ImageFont.load_default(size)
