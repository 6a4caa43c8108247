"""Semantic and panoptic maps drawn over their frames."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from univs.visualization.overlay import outline, text_font
from univs.visualization.palette import RGB

NAMED = 0.012  # share of the frame from which on a segment is named
_SEAM = (250, 250, 250)


def overlay_semantic(
    frame: NDArray[np.uint8],
    labels: NDArray[Any],
    palette: Sequence[RGB],
    names: Sequence[str] | None = None,
    *,
    opacity: float = 0.6,
) -> NDArray[np.uint8]:
    """The frame with every class in its colour, and the larger ones named.

    frame: H x W x 3 RGB uint8. labels: H x W class numbers, places in `palette` and `names`; pixels of other numbers
    (-1, 255, ...) stay as they are. opacity: share of the class's colour, 0..1. Result: H x W x 3 RGB uint8, new.
    """
    colors = {int(number): palette[number] for number in np.unique(labels) if 0 <= number < len(palette)}
    result = _tinted(frame, labels, colors, opacity)
    return result if names is None else _named(result, labels, {number: names[number] for number in colors}, colors)


def overlay_panoptic(
    frame: NDArray[np.uint8],
    segments: NDArray[Any],
    classes: Mapping[int, int],
    palette: Sequence[RGB],
    *,
    things: Container[int] = (),
    names: Sequence[str] | None = None,
    opacity: float = 0.6,
) -> NDArray[np.uint8]:
    """The frame with every segment in a shade of its class's colour; things are outlined and stuff is not.

    segments: H x W segment ids; those without an entry in `classes` (id -> class number) stay as they are. palette,
    names: by class number. things: segment ids of things; two of one class differ in shade. Result as above.
    """
    ids = [int(number) for number in np.unique(segments) if int(number) in classes]
    colors = {number: _shade(palette[classes[number]], number if number in things else 0) for number in ids}
    result = _tinted(frame, segments, colors, opacity)
    shown = [number for number in ids if number in things]
    thing_map = np.where(np.isin(segments, shown), segments, 0)
    result[outline(thing_map, thickness=max(1, round(min(frame.shape[:2]) / 240)))] = _SEAM
    return result if names is None else _named(result, segments, {i: names[classes[i]] for i in ids}, colors)


def _tinted(
    frame: NDArray[np.uint8], labels: NDArray[Any], colors: Mapping[int, RGB], opacity: float
) -> NDArray[np.uint8]:
    numbers, places = np.unique(labels, return_inverse=True)
    tints = np.array([colors.get(int(number), (0, 0, 0)) for number in numbers], np.float32) * opacity
    shares = np.array([opacity if int(number) in colors else 0.0 for number in numbers], np.float32)
    places = places.reshape(labels.shape)
    return np.round(frame * (1 - shares)[places][..., None] + tints[places]).astype(np.uint8)


def _shade(color: RGB, number: int) -> RGB:
    """The colour, a little lighter or darker for every number but 0."""
    share = (0.0, 0.25, -0.2, 0.45, -0.35)[number % 5] if number else 0.0
    toward = 255 if share > 0 else 0
    red, green, blue = (round(value + (toward - value) * abs(share)) for value in color)
    return red, green, blue


def _named(
    image: NDArray[np.uint8], labels: NDArray[Any], texts: Mapping[int, str], colors: Mapping[int, RGB]
) -> NDArray[np.uint8]:
    """Names in the middle of the longest line of a segment's middle row."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    font = text_font(max(10, round(min(labels.shape) / 26)))
    for number, text in texts.items():
        mask = labels == number
        if np.count_nonzero(mask) < NAMED * mask.size:
            continue
        rows = np.cumsum(mask.sum(1))
        y = int(np.searchsorted(rows, rows[-1] / 2))
        ends = np.flatnonzero(np.diff(np.pad(mask[y].astype(np.int8), 1))).reshape(-1, 2)
        start, stop = ends[int(np.argmax(ends[:, 1] - ends[:, 0]))]
        ink = (20, 20, 24) if np.dot(colors[number], (0.299, 0.587, 0.114)) > 140 else (255, 255, 255)
        rim = (255, 255, 255) if ink[0] < 100 else (20, 20, 24)
        draw.text(((start + stop) / 2, y), text, font=font, fill=ink, stroke_width=1, stroke_fill=rim, anchor="mm")
    return np.asarray(picture).copy()
