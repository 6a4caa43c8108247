from __future__ import annotations

import numpy as np

from univs.masks.palette import NO_ID, davis_palette, ids_of_colours

# The start of the palette in the PNGs of DAVIS-2017.
DAVIS = [
    *((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128), (128, 128, 128)),
    *((64, 0, 0), (191, 0, 0), (64, 128, 0), (191, 128, 0), (64, 0, 128), (191, 0, 128), (64, 128, 128)),
    *((191, 128, 128), (0, 64, 0), (128, 64, 0), (0, 191, 0), (128, 191, 0), (0, 64, 128), (128, 64, 128)),
    *((22, 22, 22), (23, 23, 23)),
]


def voc_palette() -> np.ndarray:
    """The colour map as the VOC development kit computes it, 256 3."""
    colours = np.zeros((256, 3), np.uint8)
    for index in range(256):
        rest = index
        for bit in range(8):
            for channel in range(3):
                colours[index, channel] |= (rest >> channel & 1) << (7 - bit)
            rest >>= 3
    return colours


def test_davis_palette() -> None:
    palette = davis_palette()
    assert len(palette) == 768
    assert palette[: 3 * len(DAVIS)] == [value for color in DAVIS for value in color]
    assert palette[-3:] == [255, 255, 255]


def test_colours_of_davis_and_voc_are_ids() -> None:
    assert ids_of_colours(np.array(DAVIS[:22], np.uint8)).tolist() == list(range(22))
    voc = voc_palette()
    ids = ids_of_colours(voc)
    assert ids[:22].tolist() == list(range(22))
    coloured = np.ptp(voc.astype(int), axis=1) > 0
    assert coloured.sum() > 230 and np.array_equal(ids[coloured], np.flatnonzero(coloured))


def test_other_colours_and_greys_are_none() -> None:
    strange = np.array([(255, 255, 255), (22, 22, 22), (64, 64, 64), (255, 0, 0), (127, 0, 0)], np.uint8)
    assert (ids_of_colours(strange) == NO_ID).all() and NO_ID < 0, "0 is the background"
