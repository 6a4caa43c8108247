"""What masks that were read by `univs.masks.rle` share, without being drawn: pycocotools does the work.

A tube is one mask per frame, None where nothing is seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_tools

from univs.masks.rle import Rle

CHUNK = 200
"""Masks that pycocotools measures at once: its `area` fails for more than 255."""


def draw(rle: Rle) -> NDArray[np.bool_]:
    """The mask, H W."""
    drawn: NDArray[np.bool_] = np.asarray(rle_tools.decode(rle)).view(bool)
    return drawn


def areas(masks: Sequence[Rle | None]) -> NDArray[np.int64]:
    """Pixels of each mask; 0 where there is none."""
    pixels = np.zeros(len(masks), np.int64)
    shown = [k for k, mask in enumerate(masks) if mask is not None]
    for start in range(0, len(shown), CHUNK):
        some = shown[start : start + CHUNK]
        pixels[some] = rle_tools.area([masks[k] for k in some])
    return pixels


def merged(masks: Sequence[Rle]) -> Rle:
    """All that lies in any of the masks, at least one."""
    union: Rle = rle_tools.merge(list(masks))
    return union


def mask_iou(masks: Sequence[Rle], others: Sequence[Rle]) -> NDArray[np.float64]:
    """IoU of D masks with G others of the same size: D G."""
    if not masks or not others:
        return np.zeros((len(masks), len(others)))
    return np.asarray(rle_tools.iou(list(masks), list(others), [0] * len(others)))


def share_inside(masks: Sequence[Rle], region: Rle) -> NDArray[np.float64]:
    """The part of each of D masks that lies in a region: D."""
    return np.asarray(rle_tools.iou(list(masks), [region], [1]))[:, 0] if masks else np.zeros(0)


def box_iou(masks: Sequence[Rle], others: Sequence[Rle]) -> NDArray[np.float64]:
    """IoU of the boxes around D masks with those around G others: D G."""
    if not masks or not others:
        return np.zeros((len(masks), len(others)))
    boxes = [np.asarray(rle_tools.toBbox(list(group))) for group in (masks, others)]
    return np.asarray(rle_tools.iou(*boxes, [0] * len(others)))


def intersections(
    tubes: Sequence[Sequence[Rle | None]],
    others: Sequence[Sequence[Rle | None]],
    pixels: Sequence[NDArray[np.int64]] | None = None,
) -> NDArray[np.float64]:
    """Pixels that each of D tubes shares with each of G others, over all frames: D x G, whole numbers.

    Args:
        tubes, others: with equally many frames.
        pixels: `areas` of the tubes, where they are known.
    """
    shared = np.zeros((len(tubes), len(others)))
    if not shared.size:
        return shared
    sizes = np.array([areas(masks) for masks in tubes] if pixels is None else pixels)
    every = ([*range(len(tubes))], [*range(len(others))])
    for t, (masks, other_masks) in enumerate(zip(zip(*tubes, strict=True), zip(*others, strict=True), strict=True)):
        rows = [k for k, mask in enumerate(masks) if mask is not None]
        columns = [k for k, mask in enumerate(other_masks) if mask is not None]
        if rows and columns:
            # With the others as crowds, pycocotools divides by the area of the first mask alone.
            share = rle_tools.iou([masks[k] for k in rows], [other_masks[k] for k in columns], [1] * len(columns))
            if (rows, columns) == every:
                shared += np.rint(share * sizes[:, t, None])
            else:
                shared[np.array(rows)[:, None], columns] += np.rint(share * sizes[rows, t][:, None])
    return shared
