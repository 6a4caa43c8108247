"""Run lengths of masks: COCO's compressed text read by numpy, many masks at once; whatever is wrong is said, not read.

A mask of H x W pixels is read down its columns; its runs are in turn outside and inside, the first one outside (it may
be empty). The compressed text has six bits in each character (48 to 111): five of a number, the lowest first, and
whether the number goes on. The numbers are the first three runs and, from then on, how much longer a run is than the
last one but one. M masks, N runs of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FIRST, LAST = 48, 111
"""The characters of compressed run lengths."""
GOES_ON = 80
"""From this character on a number has another one."""
LONGEST = 6
"""Characters that a number may have: more than the runs of the largest mask need."""
MOST_PIXELS = 2**29 - 1
"""Of a mask: what a number of so many characters reaches."""

Integers = NDArray[np.int64]


class BrokenRunsError(Exception):
    """Run lengths that make no mask: which one of those given, and why."""

    def __init__(self, place: int, why: str) -> None:
        super().__init__(why)
        self.place, self.why = place, why


class Runs(NamedTuple):
    """The N runs of M masks, one behind the other, those at even and at odd places apart: numpy is faster so."""

    even: NDArray[np.integer[Any]]
    """Runs 0, 2, 4, ... of all N, whichever mask they are of."""
    odd: NDArray[np.integer[Any]]
    """Runs 1, 3, 5, ..."""
    starts: Integers
    """M + 1: where the runs of each mask begin, and N."""

    @classmethod
    def joined(cls, masks: Sequence[Integers]) -> Runs:
        """The runs of several masks."""
        lengths = np.concatenate([np.zeros(0, np.int64), *masks])
        return cls(lengths[0::2], lengths[1::2], np.cumsum([0, *map(len, masks)]))

    def of(self, place: int) -> Integers:
        """The runs of one mask."""
        first, last = int(self.starts[place]), int(self.starts[place + 1])
        lengths = np.zeros(last - first, np.int64)
        lengths[first % 2 :: 2] = self.even[(first + 1) // 2 : (last + 1) // 2]
        lengths[1 - first % 2 :: 2] = self.odd[first // 2 : last // 2]
        return lengths


def decode_counts(codes: Sequence[str]) -> Runs:
    """The runs of compressed texts. Raises BrokenRunsError for what is no such text; whether they fit is not looked at.

    Runs that are too long for 32 bits wrap around, but never without another one before that `check_runs` refuses.
    """
    sizes = np.fromiter(map(len, codes), np.int64, len(codes))
    if not sizes.all():
        raise BrokenRunsError(int(sizes.argmin()), "the compressed counts are empty")
    # A character beyond 255 would be several bytes; "?" could be one of the text.
    text = np.frombuffer("".join(codes).encode("latin-1", "xmlcharrefreplace"), np.uint8)
    edges = np.cumsum(sizes)
    if len(edges) and (text.min() < FIRST or text.max() > LAST):
        place = next(k for k, code in enumerate(codes) if any(not FIRST <= ord(char) <= LAST for char in code))
        wrong = next(char for char in codes[place] if not FIRST <= ord(char) <= LAST)
        raise BrokenRunsError(place, f"the compressed counts {_shown(codes[place])} hold {wrong!r}")
    goes_on = text >= GOES_ON
    cut = goes_on[edges - 1]
    if cut.any():
        place = int(cut.argmax())
        raise BrokenRunsError(place, f"the compressed counts {_shown(codes[place])} are cut off")
    ends = np.flatnonzero(~goes_on)
    starts = np.concatenate([[0], np.searchsorted(ends, edges - 1) + 1])
    last = text[ends].view(np.int8) - np.int8(FIRST)
    values = ((last ^ np.int8(16)) - np.int8(16)).astype(np.int32)  # the last character of a number has its sign
    # Before a number lies the end of another one, or (-1) the end of the whole text: none of them goes on.
    some = np.flatnonzero(goes_on[ends - 1])
    for k in range(1, LONGEST + 1):
        if not len(some):
            break
        if k == LONGEST:
            mask = int(np.searchsorted(starts, some[0], "right")) - 1
            raise BrokenRunsError(mask, f"the compressed counts {_shown(codes[mask])} hold a run longer than any mask")
        values[some] = values[some] << 5 | (text[ends[some] - k] - FIRST & 31).astype(np.int32)
        some = some[goes_on[ends[some] - k - 1]]
    return _summed(values, starts)


def _summed(values: NDArray[np.int32], starts: Integers) -> Runs:
    """The runs that the numbers of compressed texts stand for: sums over every other number of a text."""
    even, odd = np.cumsum(values[0::2], dtype=np.int32), np.cumsum(values[1::2], dtype=np.int32)
    first, last = starts[:-1], starts[1:]
    # Sums go over all texts; what came before, and the number at the place 0 of a text, are taken off again.
    before_even = even[first // 2]
    before_odd = np.concatenate([np.zeros(1, np.int32), odd])[(first + 1) // 2]
    even -= np.repeat(before_even, (last + 1) // 2 - (first + 1) // 2)
    odd -= np.repeat(before_odd, last // 2 - first // 2)
    for parity, lengths in enumerate((even, odd)):
        begins = first[first % 2 == parity]
        lengths[begins // 2] = values[begins]
    return Runs(even, odd, starts)


def check_runs(runs: Runs, pixels: int) -> Integers:
    """Pixels inside each of the M masks.

    Raises BrokenRunsError where runs are negative or do not add up to so many pixels.
    """
    first, last = runs.starts[:-1], runs.starts[1:]
    if not len(first):
        return np.zeros(0, np.int64)
    if (first == last).any():
        raise BrokenRunsError(int((first == last).argmax()), "there are no run lengths")
    for parity, lengths in enumerate((runs.even, runs.odd)):
        if len(lengths) and (lengths.min() < 0 or lengths.max() > pixels):
            place = int(((lengths < 0) | (lengths > pixels)).argmax())
            mask = int(np.searchsorted(runs.starts, 2 * place + parity, "right")) - 1
            raise BrokenRunsError(mask, f"a run length is {int(lengths[place])}")
    even_to, odd_to = (np.cumsum(np.append(0, lengths), dtype=np.int64) for lengths in (runs.even, runs.odd))
    even = even_to[(last + 1) // 2] - even_to[(first + 1) // 2]
    odd = odd_to[last // 2] - odd_to[first // 2]
    short = even + odd != pixels
    if short.any():
        place = int(short.argmax())
        raise BrokenRunsError(place, f"run lengths add up to {int(even[place] + odd[place])} pixels")
    return np.where(first % 2, even, odd)


def with_empty_runs(runs: Runs) -> Integers:
    """The masks that have an empty run behind their first: legal, but pycocotools measures two of them wrongly."""
    none = np.concatenate([2 * np.flatnonzero(runs.even == 0), 2 * np.flatnonzero(runs.odd == 0) + 1])
    owners = np.searchsorted(runs.starts, none, "right") - 1
    return np.unique(owners[none != runs.starts[owners]])


def without_empty_runs(lengths: Integers) -> Integers:
    """The runs of the same mask of which only the first may be empty."""
    total = int(lengths.sum())
    edges, times = np.unique(np.cumsum(lengths)[:-1], return_counts=True)
    edges = edges[(times % 2 == 1) & (edges < total)]
    return np.diff(np.concatenate([[0], edges, [total]]))


def _shown(code: str) -> str:
    text = repr(code)
    return text if len(text) <= 24 else f"{text[:20]}…'"
