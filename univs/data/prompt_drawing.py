"""Prompts drawn from true masks the way a person would give them, for training.

Drawn where the clips are made (in the loader's processes), so that a training step has nothing left to draw.
Coordinates are pixels of the training crop, S x S. K objects, P clicks of an object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from univs.data.warps import opencv
from univs.masks.meanings import IGNORE

KINDS = ("mask", "box", "point", "scribble")
CLICKS = 3
"""P: an object gets at most so many clicks."""


@dataclass(frozen=True)
class FramePrompts:
    """One prompt for each of K objects of a frame; everything of a kind that was not drawn is blank."""

    ids: np.ndarray
    """K int64: object ids, 0 where there is no object."""
    kinds: np.ndarray
    """K int64: indices into `KINDS`."""
    boxes: np.ndarray
    """K 4 float32, x0 y0 x1 y1."""
    points: np.ndarray
    """K P 2 float32, (x, y), pixel centres at .5."""
    signs: np.ndarray
    """K P int64: 1 on the object, 0 beside it, -1 for no click."""
    strokes: np.ndarray
    """S S uint8: the id of the object whose scribble covers the pixel, else 0."""


def no_prompts(rows: int, shape: tuple[int, ...]) -> FramePrompts:
    """Room for prompts of so many objects, none of which is there yet, on a frame of shape S S."""
    return FramePrompts(
        np.zeros(rows, np.int64),
        np.zeros(rows, np.int64),
        np.zeros((rows, 4), np.float32),
        np.zeros((rows, CLICKS, 2), np.float32),
        np.full((rows, CLICKS), -1, np.int64),
        np.zeros(shape, np.uint8),
    )


def draw_prompts(
    rng: np.random.Generator,
    labels: np.ndarray,
    ids: Sequence[int],
    shares: Mapping[str, float],
    rows: int,
    clicks: int = CLICKS,
) -> FramePrompts:
    """Prompts for objects of a frame.

    Args:
        labels: S S uint8 label map, 255 unknown; objects that are not on it get no prompt (id 0).
        ids: at most `rows` objects.
        shares: of the kinds, for each object anew; need not sum to one.
        rows: K.
        clicks: at an object, at most; no more than `CLICKS`.
    """
    prompts = no_prompts(rows, labels.shape)
    for row, number in enumerate(ids):
        mask = labels == number
        if not mask.any():
            continue
        prompts.ids[row] = number
        kind = draw_kind(rng, shares)
        prompts.kinds[row] = KINDS.index(kind)
        if kind == "box":
            prompts.boxes[row] = draw_box(rng, mask)
        elif kind == "point":
            prompts.points[row], prompts.signs[row] = draw_points(rng, mask, clicks, labels != IGNORE)
        elif kind == "scribble":
            prompts.strokes[draw_scribble(rng, mask)] = number
    return prompts


def draw_kind(rng: np.random.Generator, shares: Mapping[str, float]) -> str:
    """One of `KINDS`, with probabilities proportional to `shares`."""
    weights = np.array([shares.get(kind, 0.0) for kind in KINDS], dtype=float)
    return KINDS[int(rng.choice(len(KINDS), p=weights / weights.sum()))]


def draw_box(rng: np.random.Generator, mask: np.ndarray, jitter: float = 0.08) -> np.ndarray:
    """Bounding box x0 y0 x1 y1 of a mask S S that is not empty, drawn with more or less care (`loosened`)."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return loosened(rng, np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1], np.float32), mask.shape, jitter)


def loosened(rng: np.random.Generator, box: np.ndarray, frame: tuple[int, ...], jitter: float = 0.08) -> np.ndarray:
    """A box x0 y0 x1 y1 on a frame of H W pixels as a person draws it.

    Each side is moved by up to a share of the box's size, itself drawn from 0 to `jitter`.
    """
    size = np.tile(box[2:] - box[:2], 2)
    moved = box + rng.uniform(0, jitter) * rng.uniform(-1, 1, 4).astype(np.float32) * size
    height, width = frame
    return np.clip(moved, 0, [width, height, width, height]).astype(np.float32)


def draw_points(
    rng: np.random.Generator, mask: np.ndarray, clicks: int = CLICKS, known: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Clicks on a mask S S: the first deep inside, further ones anywhere inside (+) or just outside (-).

    Args:
        clicks: so many are made at most, no more than P.
        known: S S bool, where clicks beside the mask may lie; None: everywhere.
    Returns:
        points P 2 (x, y) at pixel centres, and signs P; -1 for clicks that were not made.
    """
    points, signs = np.zeros((CLICKS, 2), np.float32), np.full(CLICKS, -1, np.int64)
    depth = depth_of(mask)
    near: np.ndarray | None = None
    for i in range(int(rng.integers(1, clicks + 1))):
        positive = i == 0 or rng.random() < 0.5
        if not positive and near is None:
            outside = opencv().distanceTransform((~mask).astype(np.uint8), opencv().DIST_L2, 5)
            near = (outside > 2) & (outside < 0.4 * np.sqrt(mask.sum()) + 6)
            near = near if known is None else near & known
        if i == 0:
            candidates = depth >= rng.uniform(0.3, 0.9) * depth.max()
        elif not positive and near is not None and near.any():
            candidates = near
        else:
            positive, candidates = True, mask
        places = np.flatnonzero(candidates)
        y, x = divmod(int(places[rng.integers(len(places))]), mask.shape[1])
        points[i], signs[i] = (x + 0.5, y + 0.5), int(positive)
    return points, signs


def draw_scribble(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """A stroke S S bool inside a mask: a bent line through two or three inner pixels, five wide, cut to the mask."""
    cv2 = opencv()
    depth = depth_of(mask)
    places = np.flatnonzero(depth >= 0.35 * depth.max())
    picks = [divmod(int(i), mask.shape[1])[::-1] for i in places[rng.integers(len(places), size=rng.integers(2, 4))]]
    stroke = np.zeros(mask.shape, np.uint8)
    for a, b in zip(picks[:-1], picks[1:], strict=True):
        cv2.line(stroke, a, b, 1)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    grown: np.ndarray = cv2.dilate(stroke, cross, iterations=2) > 0
    return grown & mask


def depth_of(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel of a mask S S to what is not the mask; beyond the border nothing is."""
    cv2 = opencv()
    padded = np.pad(mask.astype(np.uint8), 1)
    depth: np.ndarray = cv2.distanceTransform(padded, cv2.DIST_L2, 5)
    return depth[1:-1, 1:-1]
