"""What the pixels of a mask file mean: which objects, and where nothing is known. Refused where it might be two things.

Shapes: H W pixels. Every function takes `where`, the words that name the file in a message.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.masks.palette import NO_ID, ids_of_colours
from univs.prompts import LARGEST_ID

IGNORE = 255
"""Of 8-bit masks: where nothing is known."""
SMALL_IDS = 64
"""Grey values below are ids, not brightness, even where the brightest grey lies beside them."""
FLAT_COLOURS = 16
"""A picture of no more colours is a drawing, whose colours may stand for several objects; one of more is a photo."""
SMOOTH_SHARE, SMOOTH_PIXELS, SMOOTH_IDS = 0.15, 12, 3
"""Clean label maps have at most 4 % of smooth edge pixels and one id that lives on edges alone, smoothed ones 30 %."""

DITHERED = 0.2
"""Of the objects' pixels in dithered label maps more lie alone in another object; in clean ones hardly any."""

Values = NDArray[np.integer[Any]]


class Objects(NamedTuple):
    """The objects of a mask: ids H W (uint8 or int32, 0 background) and void H W bool, where nothing is known."""

    ids: Values
    void: NDArray[np.bool_]


class Edges(NamedTuple):
    """What the edges of a label map look like.

    share: of the pixels beside an edge that lie, in value, between their neighbours. pixels: how many these are.
    levels: values that fill some square of 3 x 3 pixels. thin: values that fill none and mostly lie between others.
    """

    share: float
    pixels: int
    levels: frozenset[int]
    thin: tuple[int, ...]

    @property
    def smooth(self) -> bool:
        """Whether they look antialiased, blurred or resized with interpolation."""
        return (self.share > SMOOTH_SHARE and self.pixels >= SMOOTH_PIXELS) or len(self.thin) >= SMOOTH_IDS


def indexed_objects(values: Values, where: str) -> Objects:
    """Indices of an indexed image: 0 background, 255 void; 0 and 255 alone are one object."""
    ids = _nonzero(values)
    if ids == [IGNORE]:
        return _one(values == IGNORE)
    if len(ids) > 1 and _dithered(values) > DITHERED:
        raise UserError(
            f"{where} holds {len(ids)} ids that change from pixel to pixel: it looks dithered, as when colours become "
            "indices; store each object's id as the index"
        )
    if len(ids) > 1 and (found := edges_of(values)).smooth:
        raise UserError(
            f"{where} holds {len(ids)} ids, {len(found.thin) or 'some'} of them on edges alone: it looks "
            "smoothed or resized with interpolation; draw without antialiasing, resize by nearest neighbour"
        )
    return _with_void(values)


def grey_objects(values: Values, where: str, largest: int = IGNORE, single: bool = False) -> Objects:
    """Grey values: ids as they are, or the brightness of one object.

    largest: the brightest grey, 255 or 65535. single: there is one object, however soft its edges.
    Black and the brightest alone are one object, with smoothed edges too. Any other values with sharp edges are ids;
    255 is void beside small ones, of 8 bits.
    """
    levels = set(_nonzero(values))
    if levels == {largest}:
        return _one(values == largest)
    found = edges_of(values) if len(levels) > 1 else None
    if found is not None and found.smooth:
        if largest in levels and (single or found.levels <= {0, largest}):
            return _one(values > largest // 2)
        raise UserError(
            f"{where} holds {len(levels)} grey levels with smoothed edges; expected one id for each object "
            "(0, 1, 2, ...), drawn without antialiasing"
        )
    if largest > IGNORE:
        return _deep_objects(values, levels, where)
    if IGNORE in levels and max(levels - {IGNORE}) >= SMALL_IDS:
        raise UserError(
            f"{where} holds the grey levels {_some(levels)}: ids beside 255 (unknown), or brightness? Store ids "
            f"below {SMALL_IDS}, or an indexed PNG; of one object 0 and 255 alone"
        )
    return _with_void(values)


def coloured_objects(colours: NDArray[np.uint8], where: str, single: bool = False) -> Objects:
    """Colours H W 3: ids where all are colours of the DAVIS or VOC palette; greys as `grey_objects` has them."""
    if (colours == colours[..., :1]).all():
        grey = colours[..., 0]
        if 128 in _nonzero(grey) and not edges_of(grey).smooth:
            raise UserError(
                f"{where} is in colours and holds 128,128,128: object 7 of DAVIS, or 128? Store ids, not colours"
            )
        return grey_objects(grey, where, single=single)
    known, places = _distinct(colours)
    ids = ids_of_colours(known)
    if (ids == NO_ID).any():
        strange = ",".join(map(str, known[int(np.argmax(ids == NO_ID))].tolist()))
        raise UserError(
            f"{where} is a picture in colours, among them {strange}, which is no id's in the palette of DAVIS; "
            "expected an indexed or grey PNG of ids"
        )
    return _with_void(ids[places].reshape(colours.shape[:2]))


def opaque_objects(colours: NDArray[np.uint8], alpha: NDArray[np.uint8], where: str, single: bool = False) -> Objects:
    """Colours H W 3 with alpha H W: the object is what is opaque, or the objects if the colours there are of ids.

    Where all is opaque, the colours are as `coloured_objects` has them.
    """
    lowest, highest = int(alpha.min()), int(alpha.max())
    if lowest == highest > 0:
        return coloured_objects(colours, where, single)
    if lowest > 0 or highest == 0:
        what = "nothing in it is transparent" if lowest else "all of it is transparent"
        raise UserError(f"{where} has an alpha channel, but {what}; expected the object opaque, the rest transparent")
    inside = alpha == highest if len(_present(alpha)) == 2 else _soft(alpha, where)
    known, _ = _distinct(colours[alpha == highest])
    ids = ids_of_colours(known)
    if (ids > 0).all():
        # Edges may be half transparent, but of which object they are their colour must say.
        beside, places = _distinct(colours[inside])
        marked = np.full(len(beside), ids[0]) if len(ids) == 1 else ids_of_colours(beside)
        if (marked == NO_ID).any():
            raise UserError(
                f"{where} has {len(ids)} ids as colours that run into each other at smoothed edges; draw without "
                "antialiasing, or store an indexed PNG"
            )
        labels = np.zeros(alpha.shape, np.int32)
        labels[inside] = marked[places]
        return _with_void(labels)
    if 1 < len(known) <= FLAT_COLOURS:
        raise UserError(
            f"{where} has {len(known)} colours where it is opaque: several objects, or one? Give ids in an indexed or "
            "grey PNG, or make one object opaque in one colour"
        )
    return _one(inside)


def edges_of(values: Values) -> Edges:
    """What the edges of a label map look like."""
    beside, between = np.zeros(values.shape, bool), np.zeros(values.shape, bool)
    for along, edge, middle in ((values, beside, between), (values.T, beside.T, between.T)):
        before, here, after = along[:-2], along[1:-1], along[2:]
        edge[1:-1] |= (before != here) | (here != after)
        middle[1:-1] |= ((before < here) & (here < after)) | ((before > here) & (here > after))
    present = set(_nonzero(values))
    levels = frozenset(_present(values[1:-1, 1:-1][_squares(values)]))
    thin = tuple(value for value in sorted(present - levels) if between[values == value].mean() >= 0.5)
    count = int(between.sum())
    return Edges(count / max(1, int(beside.sum())), count, levels, thin)


def _dithered(values: Values) -> float:
    """The share of the objects' pixels that differ from two neighbours, of another object, which are alike."""
    alone = np.zeros(values.shape, bool)
    objects = np.asarray((values > 0) & (values < IGNORE))
    for along, found, an_object in ((values, alone, objects), (values.T, alone.T, objects.T)):
        before, here, after = along[:-2], along[1:-1], along[2:]
        found[1:-1] |= (before == after) & (here != before) & an_object[:-2] & an_object[1:-1]
    return float(alone.sum()) / max(1, int(objects.sum()))


def _squares(values: Values) -> NDArray[np.bool_]:
    """H-2 W-2: where a pixel and its eight neighbours have one value."""
    rows = (values[:, :-2] == values[:, 1:-1]) & (values[:, 1:-1] == values[:, 2:])
    columns = (values[:-2] == values[1:-1]) & (values[1:-1] == values[2:])
    return rows[:-2] & rows[1:-1] & rows[2:] & columns[:, 1:-1]


def _deep_objects(values: Values, levels: set[int], where: str) -> Objects:
    """Of 16 bits: every value is an id, unless it might be void."""
    for void in (IGNORE, LARGEST_ID):
        if void in levels and void == max(levels):
            raise UserError(
                f"{where} holds {void} in 16 bits: an object, or unknown? Store ids below 255 in 8 bits, where 255 is "
                "unknown, or give the object another id"
            )
    return Objects(values, np.zeros(values.shape, bool))


def _soft(alpha: NDArray[np.uint8], where: str) -> NDArray[np.bool_]:
    if not edges_of(alpha).levels <= {0, 255}:
        raise UserError(f"{where} is half transparent in places; expected the object opaque, the rest transparent")
    return alpha > 127


def _one(mask: NDArray[np.bool_]) -> Objects:
    return Objects(mask.astype(np.uint8), np.zeros(mask.shape, bool))


def _with_void(values: Values) -> Objects:
    void = values == IGNORE
    return Objects(np.where(void, 0, values).astype(np.uint8), void)


def _present(values: Values) -> list[int]:
    return np.flatnonzero(np.bincount(values.reshape(-1))).tolist()


def _nonzero(values: Values) -> list[int]:
    return [value for value in _present(values) if value]


def _distinct(colours: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """The distinct colours of ... 3, N 3, and where each pixel's is among them, flat."""
    flat = colours.reshape(-1, 3).astype(np.uint32)
    codes, places = np.unique(flat[:, 0] | flat[:, 1] << 8 | flat[:, 2] << 16, return_inverse=True)
    return np.stack([codes & 255, codes >> 8 & 255, codes >> 16], axis=1).astype(np.uint8), places.reshape(-1)


def _some(values: set[int]) -> str:
    ordered = [str(value) for value in sorted(values)]
    return ", ".join(ordered if len(ordered) <= 4 else [*ordered[:3], "...", ordered[-1]])
