"""What a person says about one object on one frame with the hand: strokes, clicks, a box.

Coordinates are pixels of the frame, x to the right and y down; a pixel's centre has whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from univs.errors import UserError

Kind = Literal["strokes", "clicks", "box"]
BRUSHES = range(1, 101)
"""Sizes a stroke may have."""
SCRIBBLE = 3
"""Size of the strokes of a scribble, pixels (official)."""


@dataclass(frozen=True)
class Stroke:
    """A line drawn with the mouse.

    xy: its points. positive: on the object, or on what does not belong to it. size: of the brush; the line reaches
    (size + 1) // 2 pixels to either side, that of size 1 is one pixel wide.
    """

    xy: tuple[tuple[float, float], ...]
    positive: bool = True
    size: int = SCRIBBLE

    def __post_init__(self) -> None:
        if not self.xy:
            raise UserError("a stroke has no point; give at least one x,y pair")
        for x, y in self.xy:
            _check_finite(x, y, "a stroke goes through")
        if self.size not in BRUSHES:
            raise UserError(f"a brush of size {self.size}: sizes are {BRUSHES[0]} to {BRUSHES[-1]} pixels")


@dataclass(frozen=True)
class Click:
    """A click on the object (positive) or on what does not belong to it."""

    x: float
    y: float
    positive: bool = True

    def __post_init__(self) -> None:
        _check_finite(self.x, self.y, "a click is at")


@dataclass(frozen=True)
class Interactions:
    """All that was said about an object on a frame, the oldest first; what the mask so far came of is not repeated.

    box: left, top, right, bottom, the last two exclusive. earlier: the clicks that the mask so far came of, the oldest
    first; none if it came of anything else. They are for who does not see that mask; a `Session` fills them in.
    """

    strokes: tuple[Stroke, ...] = ()
    clicks: tuple[Click, ...] = ()
    box: tuple[float, float, float, float] | None = None
    earlier: tuple[Click, ...] = ()

    def kinds(self) -> set[Kind]:
        """Which of them there are; what was said earlier is none."""
        given: dict[Kind, object] = {"strokes": self.strokes, "clicks": self.clicks, "box": self.box}
        return {kind for kind, value in given.items() if value}

    def validate(self, height: int, width: int) -> None:
        """Raise UserError for clicks and a box that do not lie in a frame of that size; strokes may leave it."""
        for click in self.clicks:
            if not (0 <= click.x < width and 0 <= click.y < height):
                raise UserError(
                    f"the click at {click.x:g},{click.y:g} lies outside the frame; "
                    f"x must be in 0..{width - 1} and y in 0..{height - 1}"
                )
        if self.box is not None:
            left, top, right, bottom = self.box
            if not (0 <= left < right <= width and 0 <= top < bottom <= height):
                sides = ",".join(f"{side:g}" for side in self.box)
                raise UserError(
                    f"the box {sides} is none in the frame; x0 < x1 must be in 0..{width} and y0 < y1 in 0..{height}"
                )

    def moved(self, left: float, top: float) -> Interactions:
        """The same in a part of the frame whose first pixel is (left, top)."""
        box = self.box
        return Interactions(
            tuple(replace(s, xy=tuple((x - left, y - top) for x, y in s.xy)) for s in self.strokes),
            tuple(replace(c, x=c.x - left, y=c.y - top) for c in self.clicks),
            box and (box[0] - left, box[1] - top, box[2] - left, box[3] - top),
            tuple(replace(c, x=c.x - left, y=c.y - top) for c in self.earlier),
        )


def _check_finite(x: float, y: float, what: str) -> None:
    if not (math.isfinite(x) and math.isfinite(y)):
        raise UserError(f"{what} {x:g},{y:g}; coordinates are finite numbers")


def about_each(said: Sequence[tuple[int, Stroke | Click]], object_ids: Sequence[int]) -> Mapping[int, Interactions]:
    """What strokes and clicks with labels, the oldest first, say about each of the objects.

    What is said of another object or of the background (label 0) says that this one is not there.
    """
    every: dict[int, Interactions] = {}
    for number in object_ids:
        of_this = [replace(one, positive=label == number) for label, one in said]
        every[number] = Interactions(
            tuple(one for one in of_this if isinstance(one, Stroke)),
            tuple(one for one in of_this if isinstance(one, Click)),
        )
    return every
