"""Prompts as a person would give them for an object whose mask is known: a click or some, a box, a scribble, a mask."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from univs.data.synth.dice import Dice
from univs.errors import UserError
from univs.prompts import Box, Mask, Points, Prompt, Scribble

PromptKind = Literal["points", "box", "scribble", "mask"]


def draw_prompt(kind: PromptKind, labels: np.ndarray, object_id: int, dice: Dice) -> Prompt:
    """A prompt of this kind for an object of a label map (H W uint8). UserError if the object is not on it."""
    mask = labels == object_id
    if not mask.any():
        raise UserError(f"object {object_id} cannot be prompted on a frame on which it is not seen")
    if kind == "points":
        return draw_points(mask, object_id, dice, clicks=1 + dice.integer(3))
    if kind == "box":
        return draw_box(mask, object_id, dice)
    if kind == "scribble":
        return draw_scribble(mask, object_id, dice)
    return Mask(object_id, mask)


def draw_points(mask: np.ndarray, object_id: int, dice: Dice, clicks: int = 1) -> Points:
    """Clicks well inside the object, the first one about where it is thickest."""
    depth = _depth(mask)
    xy = []
    for click in range(clicks):
        y, x = np.nonzero(depth >= depth.max() * (0.7 if click == 0 else 0.35))
        chosen = dice.integer(len(x))
        xy.append((float(x[chosen]) + 0.5, float(y[chosen]) + 0.5))
    return Points(object_id, xy)


def draw_box(mask: np.ndarray, object_id: int, dice: Dice, slack: float = 0.06) -> Box:
    """A box whose sides miss the object's by up to `slack` of its width and height, mostly to the outside."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x0, y0, x1, y1 = float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
    off = dice.array(4) * 1.3 - 0.3
    wide, high = (x1 - x0) * slack, (y1 - y0) * slack
    height, width = mask.shape
    xyxy = (
        max(0.0, x0 - off[0] * wide),
        max(0.0, y0 - off[1] * high),
        min(float(width), x1 + off[2] * wide),
        min(float(height), y1 + off[3] * high),
    )
    return Box(object_id, tuple(round(float(value), 1) for value in xyxy))  # type: ignore[arg-type]


def draw_scribble(mask: np.ndarray, object_id: int, dice: Dice) -> Scribble:
    """One stroke along the object's longer way, through the middle of what it crosses; it stays on the object."""
    depth = _depth(mask)
    rows, columns = np.nonzero(mask)
    points = np.stack([columns, rows], 1).astype(np.float64)
    x, y = (points - points.mean(0)).T
    angle = 0.5 * math.atan2(2 * float((x * y).mean()), float((x * x).mean() - (y * y).mean()))
    along = x * math.cos(angle) + y * math.sin(angle)
    height, width = mask.shape
    longest: list[tuple[int, int]] = []
    stroke: list[tuple[int, int]] = []
    low, high = float(along.min()), float(along.max())
    steps = np.linspace(low + 0.12 * (high - low), high - 0.12 * (high - low), 9)
    for place in steps:
        near = np.flatnonzero(np.abs(along - place) <= max(1.0, (high - low) / 30))
        if not len(near):
            continue
        deep = depth[rows[near], columns[near]]
        good = near[deep >= deep.max() * 0.9]
        chosen = int(good[dice.integer(len(good))])
        vertex = (int(columns[chosen]), int(rows[chosen]))
        if stroke and not _inside(mask, stroke[-1], vertex):
            stroke = []  # the way there leaves the object: a person would begin anew
        stroke.append(vertex)
        if len(stroke) > len(longest):
            longest = list(stroke)
    fractions = [(min(1.0, (x + 0.5) / (width - 1)), min(1.0, (y + 0.5) / (height - 1))) for x, y in longest]
    return Scribble(object_id, [fractions])  # rounded down to pixels of 0..size-1, as scribble files are read


def _inside(mask: np.ndarray, a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether the straight way between two pixels (x, y) stays on the mask."""
    count = 1 + max(abs(a[0] - b[0]), abs(a[1] - b[1]))
    x = np.floor(np.linspace(a[0], b[0], count) + 0.5).astype(int)
    y = np.floor(np.linspace(a[1], b[1], count) + 0.5).astype(int)
    return bool(mask[y, x].all())


def _depth(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel of the mask from what is not the mask (the frame's edge counts as such); 0 outside."""
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
