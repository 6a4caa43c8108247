"""UniVS as the segmenter: what becomes of interactions as prompts, and how pieces correct a mask."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from univs.interactive.drawing import draw_signs
from univs.interactive.interactions import Click, Interactions, Stroke
from univs.interactive.segmenters import prompts
from univs.interactive.segmenters.prompts import (
    PromptSegmenter,
    certain,
    dots_within,
    nearer,
    places,
    touched,
    within_reach,
)
from univs.prompts import Box, Points
from univs.results import FrameResult

FRAME, NOTHING = np.zeros((20, 40, 3), np.uint8), np.zeros((20, 40), np.float32)


def test_clicks_and_dots_of_a_sign() -> None:
    said = Interactions(
        (Stroke(((0, 5), (40, 5)), positive=False), Stroke(((1, 1),))), (Click(3.4, 4), Click(50, -2, False))
    )
    assert places(said, True, 20, 40) == [(3, 4), (1, 1)]
    assert places(said, False, 20, 40) == [(39, 0), (10, 5), (20, 5), (30, 5)]


def test_what_strokes_have_beyond_the_frame_is_cut() -> None:
    def dots(*xy: tuple[float, float]) -> list[tuple[float, float]]:
        return places(Interactions((Stroke(xy),)), True, 20, 40)

    assert dots((-60, 5), (-20, 5)) == dots((50, -9)) == []
    assert dots((-400, 3), (-1, 3), (-1, 30)) == [], "no place on it lies in the frame"
    for left, right in ((-40, 39.5), (-0.5, 1e9), (-1e9, 1e9)):
        found = dots_within(np.array([(left, 5), (left, 5), (right, 5)]), 20, 40)
        assert np.allclose(found, [(9.5, 5), (19.5, 5), (29.5, 5)], atol=1e-5), "along what is in the frame"
    assert dots((5, 8), (5, -10), (35, -10), (35, 8)) == [(5, 4), (5, 0), (35, 4)], "8.5 and 8.5 pixels of it"
    assert dots((1, 3.5), (1, -0.5), (1, -40)) == [(1, 2), (1, 2), (1, 0)]
    assert not dots((-0.5, -9), (-0.5, 30)), "on the border is not in the frame"


def test_what_strokes_touch_is_certain() -> None:
    mask = np.zeros((20, 40), bool)
    mask[8:12] = True
    strokes = (Stroke(((5, 5), (30, 5))), Stroke(((5, 10), (30, 10)), positive=False, size=1))
    held = certain(mask, Interactions(strokes, (Click(35, 2), Click(38, 9, False))))
    expected = mask.copy()
    on, beside = draw_signs(strokes, (20, 40))
    expected[on], expected[beside] = True, False
    expected[2, 35], expected[9, 38] = True, False
    assert np.array_equal(held, expected) and not mask[5].any()


def test_what_is_nearer() -> None:
    found = nearer([(5, 5)], [(25, 5), (5, 19)], (20, 40))
    for y, x in np.ndindex(20, 40):
        own, other = (x - 5) ** 2 + (y - 5) ** 2, min((x - 25) ** 2 + (y - 5) ** 2, (x - 5) ** 2 + (y - 19) ** 2)
        assert found[y, x] == (own < other)
    assert nearer([(5, 5)], [], (20, 40)).all()


class Told:
    """A session that keeps what it was told and answers with a square of side 2 R + 1 around each positive click."""

    made: list[Told] = []
    reach = 3

    def __init__(self, model: object, size: int, **options: Any) -> None:
        self.size = size
        Told.made.append(self)

    def step(self, frame: np.ndarray, said: list[Any]) -> FrameResult:
        self.said = said
        labels = np.zeros(frame.shape[:2], np.uint8)
        for prompt in said:
            for (x, y), sign in zip(prompt.xy, prompt.labels, strict=True) if isinstance(prompt, Points) else ():
                if sign:
                    labels[
                        max(int(y) - self.reach, 0) : int(y) + self.reach + 1,
                        max(int(x) - self.reach, 0) : int(x) + self.reach + 1,
                    ] = 1
        return FrameResult(0, labels, (1,), {1: 1.0})


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Told]:
    monkeypatch.setattr(prompts, "Session", Told)
    monkeypatch.setattr(Told, "made", [])
    return Told.made


SEGMENTER = PromptSegmenter(SimpleNamespace(streaming={}))  # type: ignore[arg-type]


def square(x: int, y: int, reach: int = 3) -> np.ndarray:
    mask = np.zeros((20, 40), bool)
    mask[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = True
    return mask


def test_a_first_round_asks_once(told: list[Told]) -> None:
    clicks = (Click(10, 8), Click(30, 8, False))
    found = SEGMENTER.segment(FRAME, NOTHING, Interactions(clicks=clicks, box=(2, 2, 20, 18)))
    ((box, points),) = [session.said for session in told]
    assert isinstance(box, Box) and box.xyxy == (2, 2, 20, 18)
    assert points.xy == ((10, 8), (30, 8)) and points.labels == (True, False)
    assert np.array_equal(found > 0.5, square(10, 8))


def test_what_is_only_not_there_is_nowhere(told: list[Told]) -> None:
    said = Interactions((Stroke(((3, 4), (9, 9)), positive=False),))
    assert not SEGMENTER.segment(FRAME, NOTHING, said).any() and not told


def test_pieces_are_added_and_taken_away(told: list[Told]) -> None:
    current = NOTHING.copy()
    current[2:18, 2:25], current[0, 39] = 0.9, 0.4
    said = Interactions(clicks=(Click(30, 8), Click(5, 8, False)))
    found = SEGMENTER.segment(FRAME, current, said)
    assert np.array_equal(found > 0.5, ((current > 0.5) | square(30, 8)) & ~square(5, 8))
    added, taken = (session.said[0] for session in told)
    assert (added.xy, added.labels) == (((30, 8), (5, 8)), (True, False))
    assert (taken.xy, taken.labels) == (((5, 8), (30, 8)), (True, False))


def test_pieces_end_where_the_contrary_was_said(told: list[Told]) -> None:
    current = NOTHING.copy()
    current[2:18, 2:25] = 1
    found = SEGMENTER.segment(FRAME, current, Interactions(clicks=(Click(26, 8), Click(28, 8, False)))) > 0.5
    assert found[8, 26] and not found[8, 28:].any() and found[5, 26]
    assert found[8, :25].all() == bool((current[8, :25] > 0).all())


def test_a_stroke_reaches_a_share_of_its_extent() -> None:
    long, short = Stroke(((30, 60), (90, 60)), size=1), Stroke(((150, 20), (154, 23)), positive=False, size=1)
    near = within_reach(Interactions((long, short)), True, (120, 200))
    y, x = np.mgrid[:120, :200]
    away = np.hypot(np.maximum(0, np.maximum(30 - x, x - 90)), np.maximum(0, abs(y - 60) - 1))
    assert near[away <= 18].all() and not near[away > 20].any()  # 0.3 of 60, and a 120th of 120
    near = within_reach(Interactions((long, short)), False, (120, 200))
    assert near[20, 150] and near[25, 154] and not near[27, 154] and not near[60, 60]
    assert within_reach(Interactions((short,), (Click(5, 5),)), True, (120, 200)).all()
    assert not within_reach(Interactions((Stroke(((300, 60), (360, 60))),)), True, (120, 200)).any()


def test_a_dab_takes_no_more_away_than_around_it(told: list[Told]) -> None:
    current = np.zeros((20, 40), np.float32)
    current[2:18, 2:25] = 1
    dab = Interactions((Stroke(((24, 8), (24, 9)), positive=False, size=1),))
    found = SEGMENTER.segment(FRAME, current, dab) > 0.5
    assert not found[8:10, 24].any() and found[8, 21] and found[5, 24]  # the answer reaches 3 pixels, the dab hardly 2


def test_what_is_most_of_the_mask_is_no_piece_of_it(told: list[Told]) -> None:
    current = square(10, 8, 2).astype(np.float32)
    found = SEGMENTER.segment(FRAME, current, Interactions(clicks=(Click(10, 8, False),))) > 0.5
    assert not found[8, 10] and found.sum() == 24  # the clicked pixel alone


def test_a_box_asks_anew(told: list[Told]) -> None:
    current = square(30, 8).astype(np.float32)
    found = SEGMENTER.segment(FRAME, current, Interactions(clicks=(Click(10, 8),), box=(2, 2, 20, 18)))
    assert np.array_equal(found > 0.5, square(10, 8)) and len(told) == 1


def test_what_is_touched() -> None:
    stroke, beside = Stroke(((5, 5), (30, 5))), Stroke(((5, 10), (30, 10)), positive=False)
    said = Interactions((stroke, beside), (Click(35, 2), Click(50, -3, False)))
    for positive, drawn, click in ((True, stroke, (2, 35)), (False, beside, (0, 39))):
        expected = draw_signs([drawn], (20, 40))[0 if positive else 1]
        expected[click] = True
        assert np.array_equal(touched(said, positive, (20, 40)), expected)


@pytest.mark.parametrize(
    ("reaches", "sizes", "chosen"),
    [
        ({500: 9}, [500], 9),  # all of the stroke is in the mask
        ({500: 1, 250: 9}, [500, 250], 9),
        ({500: 2, 250: 1, 125: 3}, [500, 250, 125], 3),  # never all of it: what holds most
        ({500: 3, 250: 2, 125: 1}, [500, 250, 125], 3),
    ],
)
def test_what_comes_in_scraps_is_looked_at_from_farther_away(
    told: list[Told], monkeypatch: pytest.MonkeyPatch, reaches: dict[int, int], sizes: list[int], chosen: int
) -> None:
    plain = Told.step

    def step(self: Told, frame: np.ndarray, said: list[Any]) -> FrameResult:
        monkeypatch.setattr(Told, "reach", reaches[self.size])
        return plain(self, frame, said)

    monkeypatch.setattr(Told, "step", step)
    segmenter = PromptSegmenter(SimpleNamespace(streaming={"short_side": 480}), 500)  # type: ignore[arg-type]
    stroke = Stroke(((2, 10), (38, 10)), size=1)
    found = segmenter.segment(FRAME, NOTHING, Interactions((stroke,))) > 0.5
    assert [session.size for session in told] == sizes
    assert np.array_equal(found[12 if chosen > 1 else 11], square_rows(chosen)[12 if chosen > 1 else 11])


def square_rows(reach: int) -> np.ndarray:
    return np.logical_or.reduce([square(x, 10, reach) for x in (11, 20, 29)])
