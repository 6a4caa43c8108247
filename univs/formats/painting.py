"""The label maps that the masks of JSON files make."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from univs.formats.sample import IGNORE
from univs.masks.overlaps import draw
from univs.masks.rle import ReadMasks, read_masks
from univs.results import encode_rle

MOST_OBJECTS = 254
"""Ids that a label map has room for."""


def number_objects(areas: Sequence[float], crowd: Sequence[bool]) -> list[int]:
    """Ids 1, 2, ... in the order given; 255 for crowds and, where there are more than 254 objects, for the smallest."""
    known = [place for place, several in enumerate(crowd) if not several]
    if len(known) > MOST_OBJECTS:
        known = sorted(sorted(known, key=lambda place: -areas[place])[:MOST_OBJECTS])
    ids = [IGNORE] * len(areas)
    for number, place in enumerate(known, 1):
        ids[place] = number
    return ids


def compact(segmentation: Any) -> Any:
    """The same polygons or run lengths with arrays for lists of numbers: an eighth of the memory while they wait.

    Raises TypeError or OverflowError for what are no numbers.
    """
    if isinstance(segmentation, list):
        return [array("d", polygon) for polygon in segmentation]
    if isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), list):
        return {**segmentation, "counts": array("i", segmentation["counts"])}
    return segmentation


def paint(
    masks: Sequence[Any],
    ids: Sequence[int],
    size: tuple[int, int],
    where: Callable[[int], str],
    crowd: Sequence[bool] = (),
) -> np.ndarray:
    """Label map H W uint8 of masks that may overlap: smaller ones lie on larger ones (a cup on a table).

    Args:
        masks: as their file has them (see `read_masks`), each under its id; they are drawn one at a time.
        where: place in `masks` -> which mask that is, for messages.
        crowd: which of them lie beneath all others; none if empty.
    Raises UserError for masks that are broken.
    """
    return overlay(read_masks(masks, size, where), ids, size, [int(not several) for several in crowd])


def overlay(
    read: ReadMasks, ids: Sequence[int | None], size: tuple[int, int], layers: Sequence[int] = (), base: int = 0
) -> np.ndarray:
    """Label map H W uint8 of masks that have been read, each under its id (None: left out); `base` is where none lies.

    layers: those of higher ones lie on those of lower ones, and in each smaller ones on larger ones; all in one if
    empty.
    """
    labels = np.full(size, base, np.uint8)
    for place in sorted(range(len(ids)), key=lambda k: (layers[k] if layers else 0, -read.areas[k])):
        rle, number = read.rles[place], ids[place]
        if rle is not None and number is not None:
            labels[draw(rle)] = number
    return labels


def run_lengths(mask: np.ndarray) -> dict[str, list[int]]:
    """The uncompressed RLE of a mask H W bool: runs down the columns, the first of what is outside."""
    flat = mask.reshape(-1, order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return {"counts": [0, *runs] if flat[0] else runs, "size": [int(mask.shape[0]), int(mask.shape[1])]}


def written(mask: np.ndarray) -> dict[str, Any]:
    """What JSON says of a mask H W bool that is not empty: its RLE, its pixels and its box."""
    return {"segmentation": encode_rle(mask), "area": int(mask.sum()), "bbox": box_of(mask)}


def box_of(mask: np.ndarray) -> list[int]:
    """x, y, width and height of the box around a mask H W bool that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]
