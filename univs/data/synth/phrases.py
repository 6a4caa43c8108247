"""Phrases about place, motion and relation, and what they claim of each thing of a clip.

Between the bounds at which a phrase holds and at which it fails there is room for doubt, so that no reader's own bound
decides. "All the time" means on every frame on which the thing is seen at all.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from univs.data.synth.facts import Facts

Verdicts = list[bool | None]  # for each thing: the phrase holds, fails, or is open to doubt

OFF_MIDDLE = 0.1  # of the frame's side: how far beyond the middle a thing on the left is all the time
WAY, NO_WAY = 0.12, 0.04  # of the width: how far a thing goes that moves, and at most goes that does not
BACK = 0.03  # of the width: how far a thing that moves to one side may turn back
STILL, NOT_STILL = 0.02, 0.08  # of the width: reach of a thing that stands still, and of one that does not
GROWN, SAME = 1.35, 1.1  # factor of the length: of a thing that comes closer, at most of one that does not
ASIDE, NOT_ASIDE = 0.1, 0.02  # of the frame's side: distance of a thing beside another, and of one that is not
MUCH_SMALLER = 1.35  # factor between the lengths, and between the roots of the areas seen
TOUCH = 5  # pixels of contact from which on one thing is in front of another


def alone(facts: Facts) -> Iterator[tuple[str, Verdicts]]:
    """Phrases about a thing by itself: where it is, how it moves."""
    height, width = facts.size
    places = ((0, width, "on the left", "on the right"), (1, height, "at the top", "at the bottom"))
    for axis, side, before, after in places:
        off = np.where(facts.seen, facts.middle[..., axis] / side - 0.5, np.nan)
        least, most = _least(off), _most(off)
        yield before, _verdicts(most < -OFF_MIDDLE, least > 0)
        yield after, _verdicts(least > OFF_MIDDLE, most < 0)
    if facts.area.shape[1] < 3:
        return
    yield from _motion(facts)
    quarter = max(1, facts.area.shape[1] // 4)
    first, last = facts.seen[:, 0], facts.seen[:, -1]
    yield "appearing later", _verdicts(facts.seen[:, :quarter].sum(1) == 0, first)
    yield "disappearing", _verdicts(first & (facts.seen[:, -quarter:].sum(1) == 0), last)


def _motion(facts: Facts) -> Iterator[tuple[str, Verdicts]]:
    width = facts.size[1]
    watched = facts.seen.sum(1) >= max(3, facts.area.shape[1] / 2)
    # On the picture and over the ground: a camera that pans must not decide. What is seen of a thing counts as well.
    views = [np.where(facts.seen[..., None], way / width, np.nan) for way in (facts.place, facts.world, facts.middle)]
    nets = [_last(way) - _first(way) for way in views]
    for axis, direction, phrase in (
        (0, -1, "moving to the left"),
        (0, 1, "moving to the right"),
        (1, -1, "moving up"),
        (1, 1, "moving down"),
    ):
        holds, fails = watched.copy(), np.ones(len(watched), bool)
        for way, net in zip(views, nets, strict=True):
            forth, back = _gain(way[..., axis] * direction), _gain(-way[..., axis] * direction)
            holds &= (net[:, axis] * direction >= WAY) & (back <= BACK)
            holds &= np.abs(net[:, axis]) >= 1.5 * np.abs(net[:, 1 - axis])
            fails &= forth <= NO_WAY
        yield phrase, _verdicts(holds, fails)
    reaches = np.stack([(_most(way[..., axis]) - _least(way[..., axis])) for way in views for axis in (0, 1)])
    roams = np.stack([reaches[2 * view : 2 * view + 2].max(0) for view in range(3)]).min(0)
    yield "standing still", _verdicts(watched & (reaches.max(0) <= STILL), roams >= NOT_STILL)
    lengths = [np.where(facts.seen, np.log(length), np.nan) for length in (facts.length, facts.own_length)]
    sides = np.where(facts.seen, np.log(np.maximum(facts.area, 1)) / 2, np.nan)
    for direction, phrase in ((1, "coming closer"), (-1, "going away")):
        grown = (_last(sides) - _first(sides)) * direction
        holds, fails = watched & (grown >= np.log(SAME)), grown <= np.log(SAME)
        for length in lengths:
            way = length * direction
            holds &= (_last(way) - _first(way) >= np.log(GROWN)) & (_gain(-way) <= np.log(SAME))
            fails &= _gain(way) <= np.log(SAME)
        yield phrase, _verdicts(holds, fails)


def beside(facts: Facts, other: int) -> Iterator[tuple[str, Verdicts]]:
    """Phrases about how things lie to the thing of row `other`, to be followed by its name."""
    height, width = facts.size
    together = facts.seen & facts.seen[other]
    met = together.any(1)
    often = together.sum(1) * 2 >= facts.seen.sum(1)
    nobody = np.arange(len(facts.ids)) == other
    apart = np.where(together[..., None], facts.middle - facts.middle[other], np.nan)
    for axis, side, before, after in ((0, width, "to the left of", "to the right of"), (1, height, "above", "below")):
        for direction, phrase in ((-1, before), (1, after)):
            way = apart[..., axis] * direction / side
            straight = _least(np.abs(apart[..., axis]) - np.abs(apart[..., 1 - axis])) >= 0
            holds = met & often & straight & (_least(way) >= ASIDE)
            yield phrase, _verdicts(holds & ~nobody, ~met | (_most(way) <= NOT_ASIDE) | nobody)
    nearer = np.where(together, facts.depth - facts.depth[other], np.nan)
    touch = (facts.contact[other] >= TOUCH).sum(1) >= np.maximum(1, 0.2 * together.sum(1))
    reach = (facts.length + facts.length[other]) * 0.55
    clear = ~facts.contact[other].any(1) & (_least(np.hypot(apart[..., 0], apart[..., 1]) - reach) >= 0)
    for direction, phrase in ((-1, "behind"), (1, "in front of")):
        way = nearer * direction
        holds = met & touch & (_least(way) > 0)
        yield phrase, _verdicts(holds & ~nobody, ~met | clear | (_most(way) < 0) | nobody)


def smaller(facts: Facts) -> np.ndarray:
    """N N bool: the thing of the row is clearly smaller than that of the column, as drawn and in what is seen of it."""
    length = np.array([np.mean(row[seen]) for row, seen in zip(facts.length, facts.seen, strict=True)])
    side = np.array([np.sqrt(np.mean(row[seen])) for row, seen in zip(facts.area, facts.seen, strict=True)])
    return (length[:, None] * MUCH_SMALLER <= length) & (side[:, None] * MUCH_SMALLER <= side)


def _verdicts(holds: np.ndarray, fails: np.ndarray) -> Verdicts:
    return [True if yes else False if no else None for yes, no in zip(holds.tolist(), fails.tolist(), strict=True)]


# Over the frames (axis 1) on which a value is known; a row of NaN gives NaN, with which no comparison holds.


def _least(values: np.ndarray) -> np.ndarray:
    return np.fmin.reduce(values, axis=1)


def _most(values: np.ndarray) -> np.ndarray:
    return np.fmax.reduce(values, axis=1)


def _first(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values if values.ndim == 2 else values[..., 0])
    return values[np.arange(len(values)), known.argmax(1)]


def _last(values: np.ndarray) -> np.ndarray:
    return _first(values[:, ::-1])


def _gain(values: np.ndarray) -> np.ndarray:
    """How far the values rise from any frame to any later one."""
    return _most(values - np.fmin.accumulate(values, axis=1))
