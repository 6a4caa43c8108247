"""Local control: what a region lets through, and what it leaves as it was."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from univs.errors import UserError
from univs.interactive.interactions import Click, Interactions, Stroke
from univs.interactive.local_control import LocalSegmenter, Region, stitch
from univs.interactive.segmenters import PaintingSegmenter, PromptSegmenter
from univs.interactive.segmenters.prompts import places


def test_all_but_the_margin_is_taken_over() -> None:
    whole, region = np.zeros((2, 30, 40), np.float32), Region(5, 8, 25, 20)
    stitched = stitch(whole, np.ones((2, 12, 20), np.float32), region)
    rows, columns = np.nonzero(stitched[1])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (11, 16, 8, 21)
    assert stitched.sum() == 2 * 6 * 14 and not whole.any()


def test_small_regions_have_no_margin() -> None:
    whole = np.zeros((30, 40), np.float32)
    thin = stitch(whole, np.ones((6, 20), np.float32), Region(5, 8, 25, 14))
    assert thin[8:14, 8:22].all() and thin.sum() == 6 * 14  # 6 rows: no margin above and below
    assert stitch(whole, np.ones((7, 6), np.float32), Region(0, 0, 6, 7)).sum() == 6


def test_a_stroke_acts_in_the_region_on_the_mask_as_it_is_now() -> None:
    current = np.zeros((30, 40), np.float32)
    current[10, :] = 0.7
    local = LocalSegmenter(PaintingSegmenter(), Region(10, 5, 30, 25))
    frame = np.zeros((30, 40, 3), np.uint8)
    found = local.segment(frame, current, Interactions((Stroke(((0, 15), (39, 15)), size=1),)))
    expected = current.copy()
    expected[15, 13:27] = 1
    assert np.array_equal(found, expected)
    assert local.takes == {"strokes"}


class Told(PaintingSegmenter):
    """Keeps what it was told."""

    def segment(self, frame: np.ndarray, current: np.ndarray, said: Interactions) -> np.ndarray:
        self.said = said
        return super().segment(frame, current, said)


def test_what_was_said_earlier_beyond_the_region_is_left_out() -> None:
    told, frame, current = Told(), np.zeros((30, 40, 3), np.uint8), np.zeros((30, 40), np.float32)
    inside, outside = Click(12, 7, False), (Click(9, 7), Click(30, 7), Click(12, 25), Click(12, 4))
    said = Interactions(clicks=(Click(10, 5),), earlier=(outside[0], inside, *outside[1:]))
    LocalSegmenter(told, Region(10, 5, 30, 25)).segment(frame, current, said)
    assert told.said.clicks == (Click(0, 0),) and told.said.earlier == (Click(2, 2, False),)


def test_strokes_beyond_the_region_are_no_prompts_at_its_border() -> None:
    frame, current = np.zeros((30, 40, 3), np.uint8), np.zeros((30, 40), np.float32)
    asked: list[Interactions] = []

    class Asked(PromptSegmenter):
        def _ask(self, frame: np.ndarray, said: Interactions, *_: object) -> np.ndarray:
            asked.append(said)
            return np.ones(frame.shape[:2], bool)

    local = LocalSegmenter(Asked(SimpleNamespace(streaming={})), Region(10, 5, 30, 25))  # type: ignore[arg-type]
    beyond, within = Stroke(((0, 0), (8, 3))), Stroke(((12, 8), (20, 8)))
    assert not local.segment(frame, current, Interactions((beyond,))).any() and not asked
    assert local.segment(frame, current, Interactions((beyond, within))).any() and len(asked) == 1
    assert places(asked[0], True, 20, 20) == places(asked[0].__class__((asked[0].strokes[1],)), True, 20, 20)


def test_what_lies_outside_is_refused() -> None:
    frame, current = np.zeros((30, 40, 3), np.uint8), np.zeros((30, 40), np.float32)
    with pytest.raises(UserError, match="region 4,4,4,9 is empty"):
        Region(4, 4, 4, 9)
    with pytest.raises(UserError, match=r"reaches outside the frame; x must be in 0\.\.40, y in 0\.\.30"):
        LocalSegmenter(PaintingSegmenter(), Region(4, 4, 41, 9)).segment(frame, current, Interactions())
    local = LocalSegmenter(PaintingSegmenter(), Region(10, 5, 30, 25))
    with pytest.raises(UserError, match="click at 3,9 lies outside the region 10,5,30,25"):
        local.segment(frame, current, Interactions(clicks=(Click(3, 9),)))
    for box in ((9, 6, 20, 20), (12, 4, 20, 20), (12, 6, 31, 20), (12, 6, 20, 26)):
        with pytest.raises(UserError, match="box reaches outside the region"):
            local.segment(frame, current, Interactions(box=box))
