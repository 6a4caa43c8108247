"""Masks as JSON and text files have them, read as RLE: the one place that checks them before pycocotools sees them.

An RLE is what pycocotools takes: {"size": [height, width], "counts": compressed text or bytes}. Files also have lists
of run lengths in place of the text, polygons, and null. pycocotools believes whatever it is told: run lengths that do
not add up make it read foreign memory or never end, a polygon far away takes all memory there is.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_tools

from univs.errors import UserError
from univs.masks.polygons import fill_polygons
from univs.masks.run_lengths import (
    MOST_PIXELS,
    BrokenRunsError,
    Runs,
    check_runs,
    decode_counts,
    with_empty_runs,
    without_empty_runs,
)

Rle = dict[str, Any]
"""`size` [height, width] and `counts` (compressed, bytes or str), checked."""
Size = tuple[int, int]
BLANKS = b" \t\n\r"
NUMBERS = b"0123456789-," + BLANKS
FORMS = "polygons, an RLE (size, counts) or null"


class ReadMasks(NamedTuple):
    """M masks that have been read."""

    rles: list[Rle | None]
    """None where there is no mask: null, [], polygons without an area."""
    areas: NDArray[np.int64]
    """M: pixels inside."""


def read_mask(mask: Any, size: Size, where: str) -> Rle | None:
    """One mask (see `read_masks`); `where` says in messages which it is."""
    return read_masks([mask], size, lambda _: where).rles[0]


def read_masks(masks: Sequence[Any], size: Size, where: Callable[[int], str]) -> ReadMasks:
    """Masks of one frame size, each None or [], polygons, or an RLE: compressed, a list, or as `counts_as_text` has it.

    Args:
        size: height and width that they must have.
        where: place in `masks` -> which mask that is, for messages.
    Raises UserError for whatever is no such mask.
    """
    if size[0] < 1 or size[1] < 1 or size[0] * size[1] > MOST_PIXELS:
        raise UserError(f"{where(0)}: no mask can have {size[0]} x {size[1]} pixels (height x width)")
    read = ReadMasks([None] * len(masks), np.zeros(len(masks), np.int64))
    sides = list(size)
    packed: list[tuple[int, str]] = []
    plain: list[tuple[int, Any]] = []
    for place, mask in enumerate(masks):
        if mask is None:
            continue
        if not isinstance(mask, dict):
            rle = read.rles[place] = _fill(mask, size, where(place))
            read.areas[place] = 0 if rle is None else int(rle_tools.area(rle))
            continue
        own, counts = mask.get("size"), mask.get("counts")
        if own is None or counts is None:
            raise UserError(f"{where(place)}: a mask is no RLE (size, counts); expected {FORMS}")
        if own != sides and own != size:
            raise UserError(f"{where(place)}: a mask has the size {_sides(own)}; expected {_sides(size)}")
        if isinstance(counts, bytes):
            counts = counts.decode("latin-1")
        if isinstance(counts, str) and counts[:1] != ",":
            packed.append((place, counts))
        else:
            plain.append((place, counts))
    _read_packed(packed, size, where, read)
    _read_plain(plain, size, where, read)
    return read


def read_sized(masks: Sequence[Any], where: Callable[[int], str]) -> list[Rle | None]:
    """Masks of files that do not tell the size of their frames: each null or an RLE of the size that it says it has.

    Raises UserError as `read_masks` does.
    """
    by_size: dict[Size, list[int]] = {}
    for place, mask in enumerate(masks):
        if mask is not None:
            by_size.setdefault(own_size(mask, where(place)), []).append(place)
    read: list[Rle | None] = [None] * len(masks)
    for size, places in by_size.items():
        found = read_masks([masks[place] for place in places], size, partial(_at, where, places)).rles
        for place, rle in zip(places, found, strict=True):
            read[place] = rle
    return read


def _at(where: Callable[[int], str], places: Sequence[int], k: int) -> str:
    """What `where` says of the k-th of some places."""
    return where(places[k])


def _fill(polygons: Any, size: Size, where: str) -> Rle | None:
    """The RLE of polygons."""
    if not isinstance(polygons, list):
        raise UserError(f"{where}: a mask is {polygons!r:.40}; expected {FORMS}")
    if len(polygons) == size[0] and all(isinstance(row, list | array) and len(row) == size[1] for row in polygons):
        raise UserError(f"{where}: a mask is written out pixel by pixel; expected {FORMS}")
    try:
        return fill_polygons(polygons, size)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def _read_packed(found: Sequence[tuple[int, str]], size: Size, where: Callable[[int], str], read: ReadMasks) -> None:
    """Puts compressed RLE where they belong."""
    if not found:
        return
    places, codes = zip(*found, strict=True)
    try:
        runs = decode_counts(codes)
        read.areas[list(places)] = check_runs(runs, size[0] * size[1])
    except BrokenRunsError as error:
        raise _broken(error, size, where(places[error.place])) from error
    own = list(size)
    for place, code in found:
        read.rles[place] = {"size": own, "counts": code}
    for k in with_empty_runs(runs).tolist():
        (read.rles[places[k]],) = _compress([without_empty_runs(runs.of(k))], size)


def _read_plain(found: Sequence[tuple[int, Any]], size: Size, where: Callable[[int], str], read: ReadMasks) -> None:
    """Puts RLE with lists of run lengths (or `counts_as_text`) where they belong."""
    if not found:
        return
    places = [place for place, _ in found]
    lists: list[NDArray[np.int64]] = []
    for place, counts in found:
        try:
            lists.append(_numbers(counts))
        except (ValueError, TypeError, OverflowError) as error:
            why = "the counts of an RLE are neither compressed text nor a list of whole numbers"
            raise UserError(f"{where(place)}: {why}") from error
    runs = Runs.joined(lists)
    try:
        read.areas[places] = check_runs(runs, size[0] * size[1])
    except BrokenRunsError as error:
        raise _broken(error, size, where(places[error.place])) from error
    for k in with_empty_runs(runs).tolist():
        lists[k] = without_empty_runs(lists[k])
    for place, rle in zip(places, _compress(lists, size), strict=True):
        read.rles[place] = rle


def _numbers(counts: Any) -> NDArray[np.int64]:
    """Run lengths of a list, or of a text ",12,7,...". Raises ValueError and the like for what are no whole numbers."""
    if isinstance(counts, str):
        numbers = np.fromstring(counts[1:], np.int64, sep=",")
        if len(numbers) != counts.count(","):
            raise ValueError(counts)
        return numbers
    if not isinstance(counts, list | tuple | array):
        raise TypeError(type(counts))
    if bool in set(map(type, counts)):  # among numbers numpy takes them for 0 and 1
        raise TypeError(bool)
    numbers = np.asarray(counts)
    if numbers.ndim != 1 or (len(numbers) and numbers.dtype.kind not in "iu"):
        raise ValueError(counts)
    return numbers.astype(np.int64)


def _compress(runs: Sequence[NDArray[np.int64]], size: Size) -> list[Rle]:
    """The RLE of run lengths that have been checked."""
    plain = [{"size": list(size), "counts": lengths.astype(np.uint32)} for lengths in runs]
    found: list[Rle] = rle_tools.frPyObjects(plain, *size)
    return found


def _broken(error: BrokenRunsError, size: Size, where: str) -> UserError:
    """What is wrong with the runs of a mask, and what would be right."""
    return UserError(
        f"{where}: {error.why}; expected run lengths that add up to the {size[0]} x {size[1]} pixels of the frame"
    )


def _sides(size: Any) -> str:
    """A size that may be anything, for messages."""
    if isinstance(size, list | tuple) and len(size) == 2:
        return f"{size[0]!r} x {size[1]!r}"
    text = repr(size)
    return text if len(text) < 40 else f"{text[:40]}…"


def own_size(mask: Any, where: str) -> Size:
    """Height and width that an RLE says it has, for files that do not tell the size of their frames.

    Raises UserError for what is no RLE.
    """
    size = mask.get("size") if isinstance(mask, dict) else None
    if not isinstance(size, list | tuple) or len(size) != 2 or not all(type(side) is int for side in size):
        raise UserError(f"{where}: a mask is no RLE (size, counts)")
    return size[0], size[1]


def counts_as_text(content: bytes) -> bytes:
    """JSON in which every list of `counts` is a text ",12,7,...", so that numpy may read its numbers, not Python.

    A comma is in no compressed RLE, so `read_masks` can tell.
    """
    key, pieces, done = b'"counts"', [], 0
    place = content.find(key)
    while place >= 0:
        start = content.find(b":", place) + 1
        while content[start : start + 1].isspace():
            start += 1
        if content[start : start + 1] == b"[":
            end = content.find(b"]", start)
            numbers = content[start + 1 : end]
            if not numbers.translate(None, NUMBERS):  # else it is left as it is, for `read_masks` to say what it is
                pieces += [content[done:start], b'",', numbers.translate(None, BLANKS), b'"']
                done = end + 1
            start = end + 1
        place = content.find(key, start)
    return b"".join([*pieces, content[done:]])
