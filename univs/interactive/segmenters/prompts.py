"""UniVS itself as the segmenter: what was said becomes prompts, in a first round and to correct a mask.

A UniVS that has been shown a mask holds to it, whatever is clicked at afterwards. So a mask is corrected by pieces:
what strokes on the object ask for is added to it, what strokes beside it ask for is taken away, no farther from a
stroke than it could mean: a dab at the tail of a swan would else take the swan away.

Shapes: H W pixels of the frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from univs.interactive.drawing import draw_signs, draw_stroke
from univs.interactive.interactions import Interactions, Kind
from univs.interactive.segmenters.segmenter import Frame, Probabilities
from univs.masks.geometry import short_side
from univs.models.univs import UniVS
from univs.prompts import Box, Points, Prompt
from univs.streaming.session import Session
from univs.trackers.object_prompts import DOTS, dots_along

HELD = 0.9
"""Of what strokes and clicks on a thing touch; a mask that holds less of it is not believed."""
SMALLEST = 120
"""Short side, pixels, at which a frame is looked at again at least."""
LARGEST = 0.5
"""Of the mask; a piece to be taken away that is larger is no piece of it but the object, or what it lies on."""

REACH, MARGIN = 0.3, 1 / 120
"""What a stroke may change lies so near to it: a share of the diagonal of the box around it, and one of the frame's
short side."""
Places = list[tuple[float, float]]
BoolMask = NDArray[np.bool_]


class PromptSegmenter:
    """Answers with the prompts of a video of one frame.

    Args:
        model: any UniVS.
        size: short side at which it looks; None: its own.
    """

    takes: frozenset[Kind] = frozenset({"strokes", "clicks", "box"})

    def __init__(self, model: UniVS, size: int | None = None) -> None:
        self.model, self.size = model, size

    def segment(self, frame: Frame, current: Probabilities, said: Interactions) -> Probabilities:
        """As `Segmenter`; the answer is 0 or 1. A box asks for the object anew."""
        height, width = current.shape
        before = current > 0.5
        on, beside = places(said, True, height, width), places(said, False, height, width)
        if said.box is not None or not before.any():
            if said.box is None and not on:
                return np.zeros((height, width), np.float32)
            return certain(self._ask(frame, said, True, said.box), said).astype(np.float32)
        mask = before.copy()
        if on:
            added = self._ask(frame, said, True) & nearer(on, beside, before.shape)
            mask |= added & within_reach(said, True, before.shape)
        if beside:
            taken = self._ask(frame, said, False) & nearer(beside, on, before.shape) & before
            if np.count_nonzero(taken) <= LARGEST * np.count_nonzero(before):
                mask &= ~(taken & within_reach(said, False, before.shape))
        return certain(mask, said).astype(np.float32)

    def _ask(
        self, frame: Frame, said: Interactions, positive: bool, box: tuple[float, float, float, float] | None = None
    ) -> BoolMask:
        """The mask, H W, of what was said to be the object, or not to be it, and in a box.

        A thing that fills the frame is larger than all that the model has learnt, and comes in scraps. So if the mask
        leaves out what was touched the frame is looked at half as large, and again; the answer that holds
        most of it counts, of equal ones the first.
        """
        size = frame.shape[:2]
        on, beside = places(said, positive, *size), places(said, not positive, *size)
        prompts: list[Prompt] = [Box(1, box)] if box is not None else []
        if on or beside:
            prompts.append(Points(1, [*on, *beside], [True] * len(on) + [False] * len(beside)))
        within = touched(said, positive, size)
        side = short_side(self.size, self.model.streaming.get("short_side", 0), *size)
        best, most = np.zeros(size, bool), -1.0
        while True:
            session = Session(self.model, task="vos", size=side, keep_results=False)
            found: BoolMask = session.step(frame, prompts).labels == 1
            held = float(found[within].mean()) if within.any() else 1.0
            if held > most:
                best, most = found, held
            if held >= HELD or side // 2 < SMALLEST:
                return best
            side //= 2


def touched(said: Interactions, positive: bool, size: tuple[int, int]) -> BoolMask:
    """What strokes and clicks of a sign touch, H W."""
    marked = draw_signs(said.strokes, size)[0 if positive else 1]
    for x, y in places(Interactions(clicks=said.clicks), positive, *size):
        marked[int(y), int(x)] = True
    return marked


def within_reach(said: Interactions, positive: bool, size: tuple[int, int]) -> BoolMask:
    """Pixels, H W, that what was said with a sign may change.

    Who draws a stroke draws it through what is meant: along an arm, not at its tip. So it reaches a share of its own
    extent to every side. A click has no extent and reaches everywhere.
    """
    from scipy.ndimage import distance_transform_edt

    near = np.zeros(size, bool)
    if any(click.positive == positive for click in said.clicks):
        return ~near
    for stroke in said.strokes:
        if stroke.positive == positive:
            extent = float(np.hypot(*np.ptp(np.array(stroke.xy, float), axis=0)))
            drawn = draw_stroke(stroke, size)
            if drawn.any():
                near |= distance_transform_edt(~drawn) <= REACH * extent + MARGIN * min(size)
    return near


def certain(mask: BoolMask, said: Interactions) -> BoolMask:
    """A mask, H W, with what strokes and clicks touch as they say."""
    height, width = mask.shape
    on, beside = draw_signs(said.strokes, (height, width))
    held: BoolMask = (mask | on) & ~beside
    for click in said.clicks:
        ((x, y),) = places(Interactions(clicks=(click,)), click.positive, height, width)
        held[int(y), int(x)] = click.positive
    return held


def places(said: Interactions, positive: bool, height: int, width: int) -> Places:
    """The clicks of a sign, and the dots of the strokes of that sign, each on the nearest pixel of the frame.

    Of a stroke that leaves the frame, the dots lie along what is in it.
    """
    found = [(click.x, click.y) for click in said.clicks if click.positive == positive]
    for stroke in said.strokes:
        if stroke.positive == positive:
            found += [(x, y) for x, y in dots_within(np.array(stroke.xy, float), height, width).tolist()]
    return [(float(min(max(round(x), 0), width - 1)), float(min(max(round(y), 0), height - 1))) for x, y in found]


def dots_within(xy: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """`dots_along` what of a stroke P 2 lies in a frame of that size: D 2, none if it lies beside it."""
    low, high = np.full(2, -0.5), np.array([width, height]) - 0.5
    if ((xy > low) & (xy < high)).all():
        return dots_along(xy)
    start, step = xy[:-1], np.diff(xy, axis=0)
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # straight along an axis: it never meets a border, or lies on it
        meets = np.stack([(low - start) / step, (high - start) / step])
    enter, leave = meets.min(0).max(1).clip(0, 1), meets.max(0).min(1).clip(0, 1)
    whole = np.hypot(*step.T)
    lengths = np.nan_to_num((leave - enter).clip(0) * whole)
    ends = lengths.cumsum()
    if not lengths.any():
        return np.zeros((0, 2))
    at = np.linspace(0, ends[-1], DOTS + 2)[1:-1]
    on = np.searchsorted(ends, at)
    share: NDArray[np.float64] = enter[on] + (at - ends[on] + lengths[on]) / whole[on]
    return start[on] + share[:, None] * step[on]


def nearer(
    places: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]], size: tuple[int, int]
) -> BoolMask:
    """Pixels, H W, that lie nearer to one of some places than to any of the others."""
    if not others:
        return np.ones(size, bool)
    y, x = np.mgrid[: size[0], : size[1]]

    def squares(chosen: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
        return np.min([(x - px) ** 2 + (y - py) ** 2 for px, py in chosen], axis=0)

    found: BoolMask = squares(places) < squares(others)
    return found
