"""What may be asked of a video: points, a box, a mask, a scribble or words that say which object is meant; categories.

Coordinates are pixels of the original frame, x to the right and y down, (0, 0) the outer corner of the first pixel;
scribbles alone are in 0..1 of the frame, as in the DAVIS scribble files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError

LARGEST_ID = 65535
"""Of objects: what the 16 bits of a mask file hold."""


@dataclass(frozen=True)
class Points:
    """Clicks on an object (`positive`, the default) and on what does not belong to it.

    xy: P pairs of pixels of the frame. positive: P flags, all true if left out.
    """

    object_id: int
    xy: Sequence[tuple[float, float]]
    positive: Sequence[bool] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "object_id", _whole_id(self.object_id))
        pairs = _pairs(self.xy, f"the points of object {self.object_id}")
        flags = (True,) * len(pairs) if self.positive is None else _flags(self.positive, self.object_id)
        if not pairs:
            raise UserError(f"object {self.object_id} has a point prompt without points; give at least one x,y pair")
        if len(flags) != len(pairs):
            raise UserError(f"object {self.object_id} has {len(pairs)} points but {len(flags)} positive/negative flags")
        object.__setattr__(self, "xy", pairs)
        object.__setattr__(self, "positive", flags)

    @property
    def labels(self) -> tuple[bool, ...]:
        """P flags: true for a positive point, false for a negative one."""
        return tuple(self.positive or ())

    def validate(self, height: int, width: int) -> None:
        """Raise UserError unless every point lies in the frame of height x width pixels."""
        for x, y in self.xy:
            if not (0 <= x < width and 0 <= y < height):
                raise UserError(
                    f"point ({x:g}, {y:g}) of object {self.object_id} lies outside the frame; "
                    f"x must be in 0..{width - 1} and y in 0..{height - 1}"
                )


@dataclass(frozen=True)
class Box:
    """A box around an object: xyxy = left, top, right, bottom in pixels of the frame; the last two exclusive."""

    object_id: int
    xyxy: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "object_id", _whole_id(self.object_id))
        values = _plain_numbers(self.xyxy) or ()
        if len(values) != 4 or not all(map(math.isfinite, values)):
            raise UserError(f"the box of object {self.object_id} needs four finite numbers x0,y0,x1,y1")
        if values[2] <= values[0] or values[3] <= values[1]:
            raise UserError(
                f"the box {_numbers(values)} of object {self.object_id} is empty; "
                "x1 must exceed x0 and y1 must exceed y0"
            )
        object.__setattr__(self, "xyxy", values)

    def validate(self, height: int, width: int) -> None:
        """Raise UserError unless the box lies within the frame of height x width pixels."""
        x0, y0, x1, y1 = self.xyxy
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            raise UserError(
                f"the box {_numbers(self.xyxy)} of object {self.object_id} reaches outside the frame; "
                f"x must be in 0..{width} and y in 0..{height}"
            )


@dataclass(frozen=True, eq=False)
class Mask:
    """The mask of an object: H x W, true (or non-zero) where the object is, of the frame's own size.

    mask: booleans or whole numbers; floating-point numbers only if all are 0 or 1 (logits and probabilities are no
    mask). source: the file it was read from, for messages.
    """

    object_id: int
    mask: NDArray[np.bool_]
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "object_id", _whole_id(self.object_id))
        object.__setattr__(self, "mask", _boolean(self.mask, f"the mask of object {self.object_id}"))

    def validate(self, height: int, width: int) -> None:
        """Raise UserError unless the mask has the frame's size and marks at least one pixel."""
        rows, columns = self.mask.shape
        if (rows, columns) != (height, width):
            name = f"the mask {self.source}" if self.source else f"the mask of object {self.object_id}"
            raise UserError(
                f"{name} is {columns}x{rows} pixels, the frame is {width}x{height}; give the mask at the frame's size"
            )
        if not self.mask.any():
            raise UserError(f"the mask of object {self.object_id} is empty; mark at least one pixel of the object")


@dataclass(frozen=True)
class Scribble:
    """Strokes drawn over an object: each stroke is a polyline of (x, y) in 0..1 of the frame."""

    object_id: int
    strokes: Sequence[Sequence[tuple[float, float]]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "object_id", _whole_id(self.object_id))
        name = f"the scribble of object {self.object_id}"
        strokes = tuple(stroke for stroke in (_pairs(stroke, name) for stroke in _listed(self.strokes, name)) if stroke)
        if not strokes:
            raise UserError(f"{name} is empty; draw at least one stroke of one x,y pair")
        object.__setattr__(self, "strokes", strokes)

    def validate(self, height: int, width: int) -> None:
        """Raise UserError unless every vertex lies in the frame (its size does not matter: scribbles are relative)."""
        for stroke in self.strokes:
            for x, y in stroke:
                if not (0 <= x <= 1 and 0 <= y <= 1):
                    raise UserError(
                        f"the scribble of object {self.object_id} reaches ({x:g}, {y:g}), outside the frame; "
                        "scribble coordinates are fractions of the frame, 0..1"
                    )

    def rasterize(self, height: int, width: int) -> NDArray[np.bool_]:
        """The strokes as an H x W mask of lines one pixel wide.

        Vertices fall on pixels as in the DAVIS interactive tools (fraction x (size - 1), rounded down) and are joined
        by Bresenham lines.
        """
        from PIL import Image, ImageDraw

        canvas = Image.new("L", (width, height))
        draw = ImageDraw.Draw(canvas)
        for stroke in self.strokes:
            pixels = [(int(x * (width - 1)), int(y * (height - 1))) for x, y in stroke]
            draw.line(pixels, fill=1)
            draw.point(pixels, fill=1)
        return np.asarray(canvas, dtype=bool)


@dataclass(frozen=True)
class Text:
    """An expression that means one object, such as "the dog that jumps"; asked of the whole video.

    object_id: its id in the answer; None: the next one that is free, in the order of the expressions.
    """

    text: str
    object_id: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not any(letter.isalnum() for letter in self.text):
            raise UserError(f"the expression {self.text!r} holds no word; say what is meant, such as 'the red car'")
        _check_characters(self.text)
        if self.object_id is not None:
            object.__setattr__(self, "object_id", _whole_id(self.object_id))
        object.__setattr__(self, "text", " ".join(self.text.split()))

    def validate(self, height: int, width: int) -> None:
        """Nothing to check: words fit every frame."""


@dataclass(frozen=True)
class Categories:
    """Names of what is to be found, such as ("person", "dog"); `univs.vocabularies.parse` reads them from a line.

    things: places among the names of the countable things, the others being stuff; None: all are things.
    """

    names: tuple[str, ...]
    things: frozenset[int] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.names, str):
            raise UserError(f"categories are a list of names, not one text; give [{self.names!r}]")
        if not isinstance(self.names, Iterable) or isinstance(self.names, bytes | Mapping | set | frozenset):
            raise UserError(f"categories are a list of names, not {type(self.names).__name__}; give ['person']")
        given = tuple(self.names)
        if not all(isinstance(name, str) for name in given):
            raise UserError("categories are a list of names, each a text, such as ['person', 'dog']")
        names = tuple(" ".join(name.split()) for name in given)
        if not names:
            raise UserError("no categories are given; name at least one, such as 'person'")
        for name in names:
            if not any(letter.isalnum() for letter in name):
                raise UserError(f"{name!r} is not the name of a category")
            _check_characters(name)
            if names.count(name) > 1:
                raise UserError(f"the category {name!r} is given twice; name each once")
        object.__setattr__(self, "names", names)
        if self.things is not None:
            places = _plain_numbers(tuple(self.things) if isinstance(self.things, Iterable) else None)
            things = frozenset(int(place) for place in places or ())
            if places is None or not all(place in range(len(names)) for place in places):
                raise UserError(f"things are places among the {len(names)} categories, 0 to {len(names) - 1}")
            object.__setattr__(self, "things", things)


Prompt = Points | Box | Mask | Scribble | Text


def validate_prompts(prompts: Iterable[Prompt], height: int, width: int) -> None:
    """Check the prompts of one frame of height x width pixels; raise UserError at the first one that cannot be used."""
    for prompt in prompts:
        check_prompt(prompt)
        prompt.validate(height, width)


def check_prompt(prompt: Any) -> None:
    """Raise UserError for what is no prompt."""
    if not isinstance(prompt, Prompt):
        raise UserError(f"{prompt!r:.40} is no prompt; give Points, Box, Mask, Scribble or Text")


def _whole_id(object_id: object) -> int:
    """The id as an int. Raises UserError for what is none, and for one that the files of masks cannot hold."""
    if isinstance(object_id, bool) or not isinstance(object_id, int | np.integer) or not 1 <= object_id <= LARGEST_ID:
        shown = "above 10**20" if isinstance(object_id, int) and object_id > 10**20 else repr(object_id)
        raise UserError(f"object id {shown} is not valid; ids are whole numbers from 1 to {LARGEST_ID}")
    return int(object_id)


def _check_characters(text: str) -> None:
    """UserError for halves of surrogate pairs, which are no characters: no tokeniser and no file takes them."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise UserError(f"{text!r} holds what is not a character; read it in the encoding in which it was written")


def _listed(values: Any, name: str) -> list[Any]:
    """What is in a list, array or the like. Raises UserError for a text, what has no order and a single value."""
    if isinstance(values, str | bytes | Mapping | set | frozenset) or not isinstance(values, Iterable):
        raise UserError(f"{name} must be x,y pairs of numbers in a list, not {type(values).__name__}")
    return list(values)


def _pairs(values: Any, name: str) -> tuple[tuple[float, float], ...]:
    pairs = [_plain_numbers(pair) for pair in _listed(values, name)]
    if any(pair is None or len(pair) != 2 for pair in pairs):
        raise UserError(f"{name} must be x,y pairs of numbers")
    found = tuple((pair[0], pair[1]) for pair in pairs if pair is not None)
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in found):
        raise UserError(f"{name} must be finite numbers")
    return found


def _plain_numbers(values: Any) -> tuple[float, ...] | None:
    """The numbers in a list, array or the like; None for anything else, digits of a text among it."""
    if isinstance(values, str | bytes | Mapping | set | frozenset):
        return None
    try:
        found = list(values)
        return None if any(isinstance(one, str | bytes) for one in found) else tuple(float(one) for one in found)
    except (TypeError, ValueError, OverflowError):
        return None


def _flags(values: Any, object_id: int) -> tuple[bool, ...]:
    flags = _plain_numbers(values)
    if flags is None or any(flag not in (0, 1) for flag in flags):
        raise UserError(f"the positive/negative flags of object {object_id} must be a list of true and false")
    return tuple(map(bool, flags))


def _boolean(mask: Any, name: str) -> NDArray[np.bool_]:
    """H x W booleans. Raises UserError for another shape and for values that are no mask."""
    try:
        array = np.asarray(mask)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{name} is no array ({' '.join(str(error).split())}); give one of height x width") from None
    if array.ndim != 2:
        raise UserError(f"{name} has shape {array.shape}; a mask is height x width")
    if array.dtype.kind not in "buif":
        raise UserError(f"{name} holds values of type {array.dtype}; a mask is true or non-zero where the object is")
    if array.dtype.kind == "f" and not ((array == 0) | (array == 1)).all():
        raise UserError(
            f"{name} holds floating-point values other than 0 and 1; give mask > 0 of logits, mask > 0.5 of "
            "probabilities"
        )
    if array.dtype.kind == "i" and array.size and array.min() < 0:
        raise UserError(f"{name} holds negative values; a mask is true or non-zero where the object is")
    return array.astype(bool)


def _numbers(values: Iterable[float]) -> str:
    return ",".join(f"{value:g}" for value in values)
