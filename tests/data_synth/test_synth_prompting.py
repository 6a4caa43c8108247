"""Prompts drawn for objects of known masks, and the demo clip with its prompts."""

from __future__ import annotations

import numpy as np
import pytest

from univs.data.synth import SynthVS, demo_clip, draw_prompt
from univs.data.synth.dice import Dice
from univs.errors import UserError
from univs.prompts import Box, Mask, Points, Scribble


def objects():
    dataset = SynthVS(size=(120, 200), num_frames=1, difficulty=0.8)
    for clip in range(15):
        labels = dataset[clip].labels[0]
        for number in np.unique(labels)[1:]:
            if (labels == number).sum() > 60:
                yield labels, int(number), Dice(clip, int(number))


def test_every_kind_lies_on_its_object_and_within_the_frame():
    seen = 0
    for labels, number, dice in objects():
        mask = labels == number
        points = draw_prompt("points", labels, number, dice)
        assert isinstance(points, Points) and all(mask[int(y), int(x)] for x, y in points.xy)
        scribble = draw_prompt("scribble", labels, number, dice)
        assert isinstance(scribble, Scribble)
        stroke = scribble.rasterize(120, 200)
        assert stroke.any() and (stroke & mask).sum() >= 0.9 * stroke.sum()
        box = draw_prompt("box", labels, number, dice)
        assert isinstance(box, Box)
        x0, y0, x1, y1 = (round(value) for value in box.xyxy)
        assert mask[y0:y1, x0:x1].sum() >= 0.85 * mask.sum()
        rows, columns = np.nonzero(mask)
        assert (x1 - x0) * (y1 - y0) <= 1.4 * (np.ptp(rows) + 2) * (np.ptp(columns) + 2)
        given = draw_prompt("mask", labels, number, dice)
        assert isinstance(given, Mask) and (given.mask == mask).all()
        for prompt in (points, scribble, box, given):
            assert prompt.object_id == number
            prompt.validate(120, 200)
        seen += 1
    assert seen > 20


def test_scribbles_run_along_the_longer_way():
    labels = np.zeros((60, 100), np.uint8)
    labels[25:35, 10:90] = 1
    scribble = draw_prompt("scribble", labels, 1, Dice(1))
    assert isinstance(scribble, Scribble)
    x, y = np.array(scribble.strokes[0]).T
    assert np.ptp(x) > 0.5 and np.ptp(y) < 0.12


def test_an_object_that_is_not_there_cannot_be_prompted():
    with pytest.raises(UserError, match="object 3"):
        draw_prompt("points", np.zeros((40, 40), np.uint8), 3, Dice(1))


def test_demo_clip_asks_for_each_object_by_another_kind():
    sample, prompts = demo_clip()
    assert sample.frames.shape == (40, 240, 427, 3) and sample.complete
    given = [(frame, prompt) for frame, some in prompts.items() for prompt in some]
    assert {type(prompt) for _, prompt in given} == {Points, Box, Mask, Scribble}
    assert sorted(prompt.object_id for _, prompt in given) == sample.object_ids() == [1, 2, 3, 4]
    assert len(set(sample.categories.values())) == 3  # two look alike
    for frame, prompt in given:
        prompt.validate(240, 427)
        assert (sample.labels[frame] == prompt.object_id).sum() > 1000
    for number in sample.object_ids():
        assert ((sample.labels == number).sum((1, 2)) > 300).all()
