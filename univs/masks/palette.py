"""The colours of indexed label files, and which id a colour stands for where only the colours are left."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

NAMED = 22
"""Entries of the DAVIS palette that are colours; the others are greys."""
NO_ID = -1


def davis_palette() -> list[int]:
    """The 256 RGB triples of the DAVIS annotation files as one flat list, as Pillow's `putpalette` takes it.

    22 colours count in the bits of the index (0 black, 1 dark red, 2 dark green, ...), the rest are greys.
    """
    palette: list[int] = []
    for index in range(256):
        palette += _davis_colour(index) if index < NAMED else [index] * 3
    return palette


def ids_of_colours(colours: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The ids, N int32, that N RGB colours have in the palettes of DAVIS and Pascal VOC; NO_ID where they have none.

    Both count alike, but VOC writes 192 where DAVIS writes 191 and goes on beyond the 22nd colour. Greys other than
    black and those of the first 22 have no id: the palettes differ in them, and they may be brightness.
    """
    table = _ids()
    return np.array([table.get((int(r), int(g), int(b)), NO_ID) for r, g, b in colours], np.int32)


@cache
def _ids() -> dict[tuple[int, int, int], int]:
    voc = {_voc_colour(index): index for index in range(256)}
    coloured = {colour: index for colour, index in voc.items() if index < NAMED or len(set(colour)) > 1}
    red_green_blue = (_davis_colour(index) for index in range(NAMED))
    return {**coloured, **{(red, green, blue): index for index, (red, green, blue) in enumerate(red_green_blue)}}


def _davis_colour(index: int) -> list[int]:
    return [(0, 64, 128, 191)[2 * (index >> k & 1) + (index >> (k + 3) & 1)] for k in range(3)]


def _voc_colour(index: int) -> tuple[int, int, int]:
    red, green, blue = (sum((index >> (3 * bit + k) & 1) << (7 - bit) for bit in range(3)) for k in range(3))
    return red, green, blue
