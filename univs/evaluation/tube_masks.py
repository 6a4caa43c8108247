"""Masks of tubes as run lengths (RLE): read from JSON, measured and intersected without being drawn.

pycocotools does the work; this adds what JSON files hold, and tubes (one mask per frame, None where nothing is seen).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_tools

from univs.errors import UserError

Rle = dict[str, Any]
"""`size` (height, width) and `counts` (compressed, bytes or str), as pycocotools has it."""
CHUNK = 200
"""Masks that pycocotools measures at once: its `area` fails for more than 255."""


def counts_as_text(content: bytes) -> bytes:
    """JSON in which every list of `counts` is a text ",12,7,...", so that numpy may read its numbers, not Python.

    A comma is in no compressed RLE, so `read_tube` can tell.
    """
    key, pieces, done = b'"counts"', [], 0
    place = content.find(key)
    while place >= 0:
        start = content.find(b":", place) + 1
        while content[start : start + 1].isspace():
            start += 1
        if content[start : start + 1] == b"[":
            end = content.find(b"]", start)
            pieces += [content[done:start], b'",', b"".join(content[start + 1 : end].split()), b'"']
            done = start = end + 1
        place = content.find(key, start)
    return b"".join([*pieces, content[done:]])


def read_tube(masks: Sequence[Any], size: tuple[int, int], what: str) -> list[Rle | None]:
    """The masks of a JSON file: each None or empty, polygons, or run lengths, compressed or not (or `counts_as_text`).

    Args:
        size: height and width that they must have.
        what: where the masks come from, for the message of a UserError.
    """
    read: list[Any] = [None] * len(masks)
    plain = []
    try:
        for k, mask in enumerate(masks):
            if not mask:
                continue
            if isinstance(mask, list):
                read[k] = rle_tools.merge(rle_tools.frPyObjects(mask, *size))
                continue
            height, width = mask["size"]
            if (height, width) != size:
                raise UserError(f"{what}: a mask has the size {height} x {width}; expected {size[0]} x {size[1]}")
            counts = mask["counts"]
            if isinstance(counts, bytes) or (isinstance(counts, str) and not counts.startswith(",")):
                read[k] = mask
            else:
                plain.append((k, counts))
        if plain:
            for (k, _), mask in zip(plain, _compress([counts for _, counts in plain], size, what), strict=True):
                read[k] = mask
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, IndexError) as error:
        raise UserError(f"{what}: a mask is no RLE (size, counts), polygons or null") from error
    return read


def _compress(runs: Sequence[Any], size: tuple[int, int], what: str) -> list[Rle]:
    """RLE of run lengths: lists, or texts that begin with a comma."""
    texts = [counts if isinstance(counts, str) else f",{','.join(map(str, counts))}" for counts in runs]
    lengths = [text.count(",") for text in texts]
    starts = np.cumsum([0, *lengths[:-1]])
    numbers = np.fromstring("".join(texts)[1:], np.int64, sep=",")
    if len(numbers) != sum(lengths):
        raise ValueError("these are no whole numbers")
    pixels = np.add.reduceat(numbers, starts)
    if (pixels != size[0] * size[1]).any() or (numbers < 0).any():
        raise UserError(f"{what}: run lengths do not add up to the {size[0]} x {size[1]} pixels of the frame")
    numbers = numbers.astype(np.uint32)
    parts = [numbers[start : start + length] for start, length in zip(starts.tolist(), lengths, strict=True)]
    found: list[Rle] = rle_tools.frPyObjects([{"size": list(size), "counts": part} for part in parts], *size)
    return found


def areas(masks: Sequence[Rle | None]) -> NDArray[np.int64]:
    """Pixels of each mask; 0 where there is none."""
    pixels = np.zeros(len(masks), np.int64)
    shown = [k for k, mask in enumerate(masks) if mask is not None]
    for start in range(0, len(shown), CHUNK):
        some = shown[start : start + CHUNK]
        pixels[some] = rle_tools.area([masks[k] for k in some])
    return pixels


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
    for t, (masks, other_masks) in enumerate(zip(zip(*tubes, strict=True), zip(*others, strict=True), strict=True)):
        rows = [k for k, mask in enumerate(masks) if mask is not None]
        columns = [k for k, mask in enumerate(other_masks) if mask is not None]
        if rows and columns:
            # With the others as crowds, pycocotools divides by the area of the first mask alone.
            share = rle_tools.iou([masks[k] for k in rows], [other_masks[k] for k in columns], [1] * len(columns))
            shared[np.array(rows)[:, None], columns] += np.rint(share * sizes[rows, t][:, None])
    return shared
