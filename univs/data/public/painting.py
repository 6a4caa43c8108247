"""Masks of JSON files (polygons, run lengths) and the label maps that they make.

An RLE is what pycocotools takes: {"size": [height, width], "counts": compressed text or bytes}.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as rle_tools

from univs.data.sample import IGNORE
from univs.errors import UserError

Rle = dict[str, Any]
MOST_OBJECTS = 254
"""Ids that a label map has room for."""


class Patch(NamedTuple):
    """A mask that takes part in a label map under an id; a crowd lies beneath all else."""

    number: int
    rle: Rle
    crowd: bool = False


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


def to_rle(segmentation: Any, size: tuple[int, int], what: str) -> Rle | None:
    """The RLE of polygons, of an uncompressed or of a compressed RLE; None of null and of polygons without an area.

    size: height and width. what: where the mask comes from. Raises UserError for another size and for anything else.
    """
    if not segmentation:
        return None
    try:
        if isinstance(segmentation, list):
            polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
            return rle_tools.merge(rle_tools.frPyObjects(polygons, *size)) if polygons else None
        height, width = segmentation["size"]
        if (height, width) != size:
            raise UserError(f"{what}: a mask is {width}x{height} pixels, its image is {size[1]}x{size[0]}")
        counts = segmentation["counts"]
        if isinstance(counts, list | array):
            if sum(counts) != height * width or min(counts) < 0:
                raise UserError(f"{what}: run lengths do not add up to the {width}x{height} pixels of the image")
            return rle_tools.frPyObjects(segmentation, *size)
        return {"size": [height, width], "counts": counts}
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, IndexError) as error:
        raise UserError(f"{what}: a mask is neither polygons nor an RLE (size, counts) nor null") from error


def paint(patches: Iterable[Patch], size: tuple[int, int], what: str) -> np.ndarray:
    """Label map H W uint8 of masks that may overlap: smaller ones lie on larger ones (a cup on a table).

    Masks are decoded one at a time. Raises UserError, naming `what`, for an RLE that is broken.
    """
    labels = np.zeros(size, np.uint8)
    try:
        order = sorted(patches, key=lambda patch: (not patch.crowd, -int(rle_tools.area(patch.rle))))
        for patch in order:
            labels[rle_tools.decode(patch.rle).view(bool)] = patch.number
    except (TypeError, ValueError, IndexError) as error:
        raise UserError(f"{what}: the RLE of a mask is broken: {error}") from error
    return labels


def run_lengths(mask: np.ndarray) -> dict[str, list[int]]:
    """The uncompressed RLE of a mask H W bool: runs down the columns, the first of what is outside."""
    flat = mask.reshape(-1, order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return {"counts": [0, *runs] if flat[0] else runs, "size": [int(mask.shape[0]), int(mask.shape[1])]}


def box_of(mask: np.ndarray) -> list[int]:
    """x, y, width and height of the box around a mask H W bool that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]
