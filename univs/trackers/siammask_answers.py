"""What SiamMask's answers mean in the frame: which box is believed, how the object follows it, where its mask lies.

SiamRPN (Li et al., CVPR 2018, section 4.3) for the choice, SiamMask (section 3.3) for the mask. Places are pixels of
the frame, x first. Shapes: A anchors, n cells to a side of the answer, m pixels to a side of a mask, H W of the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from univs.masks.rotated_boxes import connected_parts
from univs.models.siammask_crops import SEARCH, TEMPLATE, context_side, search_side

Array = NDArray[np.float64]
LARGEST_LOG = 80.0
"""Sizes of boxes are multiples of the anchors' of at most its exponential: what follows stays finite."""
SMALLEST_SIDE = 10
"""Pixels: no size that is followed is smaller."""
SPECK = 0.1
"""Share of the largest part of a mask below which a part is none."""


@dataclass(frozen=True)
class Following:
    """How the answers are read.

    change_penalty: of boxes whose size or shape changes. window_share: how much a cosine window counts beside the
    score. size_rate: how fast the size follows that of the box, at a score of 1.
    """

    change_penalty: float
    window_share: float
    size_rate: float


@dataclass(frozen=True)
class Target:
    """Where an object is: centre and size of its upright box."""

    x: float
    y: float
    width: float
    height: float

    @property
    def side(self) -> float:
        """Of the square that holds it with its surroundings."""
        return context_side(self.width, self.height)

    def inside(self, frame_height: int, frame_width: int) -> Target:
        """The same with its centre in the frame, not smaller than `SMALLEST_SIDE` and not larger than the frame."""
        return Target(
            min(max(self.x, 0), frame_width),
            min(max(self.y, 0), frame_height),
            min(max(self.width, SMALLEST_SIDE), frame_width),
            min(max(self.height, SMALLEST_SIDE), frame_height),
        )

    def corners(self) -> Array:
        """Of its box: 4 2."""
        left, right = self.x - self.width / 2, self.x + self.width / 2
        top, bottom = self.y - self.height / 2, self.y + self.height / 2
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


@dataclass(frozen=True)
class Choice:
    """What is believed of an answer: the target as it now is, its score 0..1, and the cell (y, x) of cells x cells."""

    target: Target
    score: float
    cell: tuple[int, int]
    cells: int


def choose(scores: Array, boxes: Array, grid: Array, target: Target, following: Following) -> Choice:
    """The box that is believed.

    Args:
        scores: 2 A n n logits, of background and object.
        boxes: 4 A n n, dx, dy, log of width and height, relative to the anchors.
        grid: (A n n) 4 the anchors (`siammask_anchors.centred_grid`), pixels of the crop.
        target: where the object was, in the middle of the crop.
    """
    logits = scores.astype(np.float64).reshape(2, -1)
    likely = np.exp(logits - logits.max(0))
    likely = likely[1] / likely.sum(0)
    dx, dy, log_width, log_height = boxes.astype(np.float64).reshape(4, -1)
    x, y = dx * grid[:, 2] + grid[:, 0], dy * grid[:, 3] + grid[:, 1]
    width, height = (
        np.exp(log.clip(-LARGEST_LOG, LARGEST_LOG)) * grid[:, axis] for log, axis in ((log_width, 2), (log_height, 3))
    )
    scale = TEMPLATE / target.side
    margin = (width + height) / 2
    side = np.sqrt((width + margin) * (height + margin))
    size_change = change(side / context_side(target.width * scale, target.height * scale))
    shape_change = change(target.width / target.height / (width / height))
    penalty = np.exp(-(size_change * shape_change - 1) * following.change_penalty)
    ranked = penalty * likely * (1 - following.window_share)
    cells = scores.shape[-1]
    ranked = ranked + cosine_window(scores.shape[-3], cells) * following.window_share
    best = int(ranked.argmax())
    rate = float(penalty[best] * likely[best]) * following.size_rate
    moved = Target(
        target.x + float(x[best]) / scale,
        target.y + float(y[best]) / scale,
        target.width * (1 - rate) + float(width[best]) / scale * rate,
        target.height * (1 - rate) + float(height[best]) / scale * rate,
    )
    row, column = divmod(best % cells**2, cells)
    return Choice(moved, float(likely[best]), (row, column), cells)


def crop_side(target: Target, search: int = SEARCH) -> int:
    """Pixels of the frame that become a crop of `search` pixels around a target: at least one."""
    return max(1, round(search_side(target.side, TEMPLATE, search)))


def change(ratio: Array) -> Array:
    """How far a ratio is from 1, whichever way: at least 1."""
    return np.maximum(ratio, 1 / ratio)


def cosine_window(anchors: int, cells: int) -> Array:
    """(A n n): high in the middle of the crop, where the object was, zero at its border; the same for every anchor."""
    line = np.hanning(cells)
    return np.tile(np.outer(line, line).ravel(), anchors)


@dataclass(frozen=True)
class MaskPlace:
    """Where the mask of a cell lies: left and top in the frame, and its side, pixels of the frame."""

    left: float
    top: float
    side: float

    @classmethod
    def of(cls, target: Target, choice: Choice, search: int, stride: int) -> MaskPlace:
        """Of the chosen cell in the crop, `search` pixels to a side, that was made around where the target was.

        The masks of all cells are together centred on the crop: beyond its border by four cells, or not at all where
        the crop is so small that the network leaves cells out (`siammask.NARROW`).
        """
        side = crop_side(target, search)
        scale = side / search
        before = ((choice.cells - 1) * stride + TEMPLATE - search) / 2
        y, x = ((place * stride - before) * scale for place in choice.cell)
        return cls(target.x - side / 2 + x, target.y - side / 2 + y, TEMPLATE * scale)


def placed(mask: NDArray[np.float32], place: MaskPlace, size: tuple[int, int], outside: float) -> NDArray[np.float32]:
    """A mask m m, 0..1, in the frame: H W, bilinear, fading to `outside` over the pixel around it."""
    rows, columns = (
        _taps(mask.shape[0], start, place.side, length)
        for start, length in ((place.top, size[0]), (place.left, size[1]))
    )
    out = np.full(size, outside, np.float32)
    if not (len(rows.places) and len(columns.places)):
        return out
    framed = np.pad(mask, 1, constant_values=outside)
    down = rows.second[:, None]
    bands = framed[rows.first] * (1 - down) + framed[rows.first + 1] * down
    across = columns.second[None]
    inner = bands[:, columns.first] * (1 - across) + bands[:, columns.first + 1] * across
    out[rows.places[0] : rows.places[-1] + 1, columns.places[0] : columns.places[-1] + 1] = inner
    return out


@dataclass(frozen=True)
class _Taps:
    """Along one side: pixels of the frame that see the framed mask, its first cell for each, weight of the next one."""

    places: NDArray[np.intp]
    first: NDArray[np.intp]
    second: NDArray[np.float32]


def _taps(cells: int, start: float, side: float, length: int) -> _Taps:
    """For a mask of `cells` along `side` pixels from `start` of a frame that is `length` long.

    The frame's last pixel, not its end, is where the official program lays the end of what it cuts out.
    """
    zoom = cells / side
    step = length * zoom / max(length - 1, 1)
    seen = np.arange(length) * step - start * zoom
    places = np.flatnonzero((seen > -1) & (seen < cells))
    first = np.floor(seen[places])
    return _Taps(places, first.astype(np.intp) + 1, (seen[places] - first).astype(np.float32))


def towards_mask(target: Target, mask: NDArray[np.bool_], share: float) -> Target:
    """A target whose place and size go by so large a share towards those of the box around a mask H W.

    Specks, parts of less than `SPECK` of the largest one, don't count; without a pixel the target stays.
    """
    from scipy.ndimage import find_objects  # only now: it takes a while

    parts, x, y = connected_parts(mask)
    if not parts.size:
        return target
    sizes = np.bincount(parts.ravel())[1:]
    boxes = [box for box, size in zip(find_objects(parts), sizes, strict=True) if size >= SPECK * sizes.max()]
    top, left = (min(box[axis].start for box in boxes) for axis in (0, 1))
    bottom, right = (max(box[axis].stop for box in boxes) for axis in (0, 1))
    seen = target_of_box((x + left, y + top, x + right, y + bottom))
    pairs = zip(astuple(target), astuple(seen), strict=True)
    return Target(*((1 - share) * old + share * new for old, new in pairs))


def target_of_box(xyxy: Sequence[float]) -> Target:
    """Left, top, right, bottom -> where the object is."""
    left, top, right, bottom = xyxy
    return Target((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)


def target_of_mask(mask: NDArray[np.bool_]) -> Target:
    """H W with at least one pixel -> the upright box around it, in whole pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return target_of_box((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
