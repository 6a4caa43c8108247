"""The closed lines between the pixels of a mask and those around it, in the order of the official DAVIS-2016 tool.

Coordinates are doubled, (row, column): the corners of pixels have even ones, and every step of a line is 2 long. Where
two pixels touch at a corner alone, four edges meet: a junction. Lines are traced in pieces from junction to junction,
and the pieces joined to loops that cross neither themselves nor each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from univs.evaluation.metrics.davis import BoolMask, window

Corners = NDArray[np.int64]
"""M x 2, (row, column) in half pixels: the corners of pixels along a line, the first one repeated at the end."""


@dataclass(frozen=True)
class PixelLoop:
    """A closed line along the edges of pixels; just inside of a hole there is no mask."""

    corners: Corners
    hole: bool


def pixel_loops(mask: BoolMask) -> list[PixelLoop]:
    """All loops of a mask (H x W bool): those without a junction from the last one to the first, then the others.

    A loop without junctions begins at the upper end of its first vertical edge, row after row, and goes down there.
    """
    edges = _Edges.of(mask)
    seen = np.zeros(len(edges.tails), bool)
    pieces = _junction_pieces(edges, seen)
    loops = []
    for first in range(edges.vertical):
        if not seen[first]:
            line = _walk(edges, first)
            seen[line] = True
            numbers = edges.tails[line]
            hole = bool(numbers[0] > edges.heads[first])
            if hole:  # its line goes up where it is found: turn it round
                numbers = np.roll(numbers[::-1], 2)
            loops.append(PixelLoop(edges.corners(np.append(numbers, numbers[0])), hole))
    return loops[::-1] + [_joined(edges, loop) for loop in _join(pieces)]


def signed_area(line: NDArray[np.int64] | NDArray[np.float64]) -> float:
    """Twice the area in a closed line, M x 2 (row, column), the end repeated; below zero if it goes down, right, up."""
    return float(((line[1:, 0] - line[:-1, 0]) * (line[1:, 1] + line[:-1, 1])).sum())


@dataclass(frozen=True)
class _Edges:
    """All edges of a mask, each from the corner `tails[e]` to `heads[e]` with the mask on its left.

    Corners of pixels have numbers, row after row, `across` to a row, from `origin` (row, column) on. `following[e]` is
    the edge that goes on where `e` ends, -1 at a junction; `starts` are the edges that leave junctions. The first
    `vertical` edges are the vertical ones, row after row.
    """

    tails: NDArray[np.int64]
    heads: NDArray[np.int64]
    following: list[int]
    starts: list[int]
    vertical: int
    across: int
    origin: tuple[int, int]

    @classmethod
    def of(cls, mask: BoolMask) -> _Edges:
        """Of a mask, H x W bool."""
        part = window(mask)
        inside = np.pad(mask[part], 1)
        across = inside.shape[1] - 1
        row, column = np.nonzero(inside[1:-1, 1:] != inside[1:-1, :-1])
        upper, down, vertical = row * across + column, inside[row + 1, column + 1], len(row)
        row, column = np.nonzero(inside[1:, 1:-1] != inside[:-1, 1:-1])
        left, back = row * across + column, inside[row + 1, column + 1]
        tails = np.concatenate([np.where(down, upper, upper + across), np.where(back, left + 1, left)])
        heads = np.concatenate([np.where(down, upper + across, upper), np.where(back, left, left + 1)])
        leaving = np.zeros((inside.shape[0] - 1) * across, np.int64)
        leaving[tails] = np.arange(len(tails))
        leaving[tails[leaving[tails] != np.arange(len(tails))]] = -1  # where two leave, one has overwritten the other
        starts = np.flatnonzero(leaving[tails] == -1).tolist()
        return cls(tails, heads, leaving[heads].tolist(), starts, vertical, across, (part[0].start, part[1].start))

    def corners(self, numbers: NDArray[np.int64]) -> Corners:
        """Places of corners by their numbers."""
        return 2 * (np.stack(np.divmod(numbers, self.across), 1) + np.array(self.origin))


@dataclass(frozen=True)
class _Piece:
    """Corners (by number) from junction to junction; `axes` of the first and the last edge, true if vertical.

    `left`: the mask lies on the left of it, otherwise on the right.
    """

    corners: NDArray[np.int64]
    axes: tuple[bool, bool]
    left: bool

    @property
    def ends(self) -> tuple[int, int]:
        """The junctions where it begins and ends, perhaps one."""
        return int(self.corners[0]), int(self.corners[-1])

    def axis_at(self, junction: int) -> bool:
        """Of the edge that is at a junction; of the first one, if both ends are there."""
        return self.axes[0] if self.ends[0] == junction else self.axes[1]


def _walk(edges: _Edges, first: int) -> list[int]:
    """Edges from one on, to the next junction or until they come round."""
    line, here = [first], edges.following[first]
    while here not in (-1, first):
        line.append(here)
        here = edges.following[here]
    return line


def _junction_pieces(edges: _Edges, seen: NDArray[np.bool_]) -> list[_Piece]:
    """All pieces, marking their edges as seen.

    They are ordered, and directed, by the end that comes first: the last junction first, and of each junction the edges
    up, left, down and right of it.
    """
    turns = {-edges.across: 0, -1: 1, edges.across: 2, 1: 3}
    found = []
    for first in edges.starts:
        line = _walk(edges, first)
        seen[line] = True
        corners = np.append(edges.tails[line], edges.heads[line[-1]])
        axes = (first < edges.vertical, line[-1] < edges.vertical)
        begin, end = (
            (-int(junction), turns[int(beside - junction)]) for junction, beside in (corners[:2], corners[:-3:-1])
        )
        piece = _Piece(corners, axes, True) if begin < end else _Piece(corners[::-1], axes[::-1], False)
        found.append((min(begin, end), piece))
    return [piece for _, piece in sorted(found, key=lambda item: item[0])]


def _join(pieces: Sequence[_Piece]) -> list[list[tuple[int, _Piece]]]:
    """Loops of (junction, the piece that goes on from there); every piece is in one of them.

    From the last junction on, always along the first piece that does not go straight on. As soon as a junction of the
    way is met again, what lies between is a loop.
    """
    waiting: dict[int, list[int]] = {}
    for number, piece in enumerate(pieces):
        for junction in set(piece.ends):
            waiting.setdefault(junction, []).append(number)
    loops = []
    for start in sorted(waiting, reverse=True):
        while waiting[start]:
            here, way, places = start, list[tuple[int, _Piece]](), dict[int, int]()
            while True:
                straight = bool(way) and pieces[waiting[here][0]].axis_at(here) == way[-1][1].axis_at(here)
                number = waiting[here][int(straight)]
                for junction in set(pieces[number].ends):
                    waiting[junction].remove(number)
                places[here] = len(way)
                way.append((here, pieces[number]))
                begin, end = pieces[number].ends
                here = end if begin == here else begin
                if here in places:
                    loop = way[places[here] :]
                    loops.append(loop)
                    del way[len(way) - len(loop) :]
                    for junction, _ in loop:
                        del places[junction]
                    if not way:
                        break
    return loops


def _joined(edges: _Edges, loop: Iterable[tuple[int, _Piece]]) -> PixelLoop:
    """One loop out of its pieces, which all have the mask on the same side."""
    parts, left = [], True
    for junction, piece in loop:
        ahead = piece.ends[0] == junction
        parts.append(piece.corners[:-1] if ahead else piece.corners[:0:-1])
        left = piece.left == ahead
    corners = edges.corners(np.concatenate([*parts, parts[0][:1]]))
    return PixelLoop(corners, (signed_area(corners) > 0) == left)
