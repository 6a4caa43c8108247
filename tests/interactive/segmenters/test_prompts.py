"""UniVS as the segmenter: what becomes of interactions as prompts, and that the mask so far is told first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from univs.interactive.interactions import Click, Interactions, Stroke
from univs.interactive.segmenters import prompts
from univs.interactive.segmenters.prompts import PromptSegmenter, as_prompts, dots
from univs.prompts import Box, Mask, Points, Scribble
from univs.results import FrameResult


def test_interactions_become_prompts() -> None:
    said = Interactions(
        (Stroke(((0, 0), (39, 19))), Stroke(((0, 5), (30, 5)), positive=False)),
        (Click(3, 4), Click(50, -2, False)),
        (1, 2, 30, 15),
    )
    scribble, points, box = as_prompts(said, 20, 40)
    assert isinstance(scribble, Scribble) and isinstance(points, Points) and isinstance(box, Box)
    drawn = scribble.rasterize(20, 40)
    assert drawn[0, 0] and drawn[19, 39]
    assert points.xy == ((3, 4), (39, 0), (0, 5), (10, 5), (20, 5), (30, 5))
    assert points.labels == (True, False, False, False, False, False)
    assert box.xyxy == (1, 2, 30, 15)
    for prompt in (scribble, points, box):
        prompt.validate(20, 40)


def test_each_pixel_of_a_stroke_is_the_pixel_of_the_scribble() -> None:
    for x in range(40):
        (scribble,) = as_prompts(Interactions((Stroke(((x, 7),)),)), 20, 40)
        assert isinstance(scribble, Scribble)
        assert np.argwhere(scribble.rasterize(20, 40)).tolist() == [[7, x]]


def test_dots_lie_at_even_distances() -> None:
    assert dots(Stroke(((0, 0), (6, 0), (6, 3)))) == [(0, 0), (3, 0), (6, 0), (6, 3)]
    assert dots(Stroke(((2, 1), (2, 1)))) == [(2, 1)]


class Told:
    """A session that keeps what it was told and answers with a square."""

    made: list[Told] = []

    def __init__(self, model: object, **options: Any) -> None:
        self.steps: list[list[Any]] = []
        Told.made.append(self)

    def step(self, frame: np.ndarray, said: list[Any]) -> FrameResult:
        self.steps.append(said)
        labels = np.zeros(frame.shape[:2], np.uint8)
        labels[2:5, 2:5] = 1
        return FrameResult(0, labels, (1,), {1: 1.0})


def test_the_mask_so_far_is_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "Session", Told)
    Told.made.clear()
    segmenter = PromptSegmenter(None)  # type: ignore[arg-type]
    frame, current = np.zeros((20, 40, 3), np.uint8), np.zeros((20, 40), np.float32)
    first = segmenter.segment(frame, current, Interactions(clicks=(Click(3, 4),)))
    assert first.sum() == 9 and [len(step) for step in Told.made[-1].steps] == [1]
    current[5:9, 5:9], current[12, 12] = 0.8, 0.4
    segmenter.segment(frame, current, Interactions(clicks=(Click(3, 4, False),)))
    (mask,), (points,) = Told.made[-1].steps
    assert isinstance(mask, Mask) and np.array_equal(mask.mask, current > 0.5)
    assert isinstance(points, Points) and points.labels == (False,)


def test_what_is_only_not_there_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "Session", Told)
    frame, current = np.zeros((20, 40, 3), np.uint8), np.zeros((20, 40), np.float32)
    said = Interactions((Stroke(((3, 4), (9, 9)), positive=False),))
    assert not PromptSegmenter(None).segment(frame, current, said).any()  # type: ignore[arg-type]
