"""What is said on a frame as tokens and as rough maps, one object at a time and several at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.trackers.scripted import Rectangle, ScriptedModel, area, colour, picture
from univs.masks.geometry import Geometry
from univs.models.features import ImageFeatures
from univs.prompts import Box, Mask, Points, Scribble
from univs.trackers.object_prompts import ObjectPrompt
from univs.trackers.prompt_encoding import cover, encode_prompts, given_masks, rough_maps, united_masks

LEFT, RIGHT = (8, 8, 24, 24), (32, 48, 56, 80)
GEOMETRY = Geometry.fit(64, 96)
SMALL = Geometry.fit(128, 192, 64)
"""Of frames that the model sees at half their size."""


def features(model: ScriptedModel) -> ImageFeatures:
    frame = picture(5, {1: LEFT, 2: RIGHT})
    return model.encode_image(model.normalize(torch.from_numpy(frame).permute(2, 0, 1)[None]))


def masks(*places: Rectangle) -> ObjectPrompt:
    return ObjectPrompt(masks=[Mask(1, area(place)) for place in places])


def test_masks_of_one_object_are_united() -> None:
    prompts = {3: masks(LEFT, RIGHT), 5: ObjectPrompt(boxes=[Box(5, (0, 0, 9, 9))]), 7: masks(RIGHT)}
    united = united_masks(prompts)
    assert list(united) == [3, 7]
    assert (united[3] == (area(LEFT) | area(RIGHT))).all() and (united[7] == area(RIGHT)).all()
    given = given_masks(prompts, Geometry.fit(64, 96, None, 128), torch.device("cpu"))
    assert given[3].shape == (128, 128) and given[3].sum() == united[3].sum()
    assert (given[3][:64, :96].numpy() == united[3]).all() and given_masks({}, GEOMETRY, torch.device("cpu")) == {}


def test_each_object_has_the_tokens_of_all_that_was_said_about_it() -> None:
    model = ScriptedModel()
    prompts = {
        4: ObjectPrompt(boxes=[Box(4, (48, 32, 80, 56)), Box(4, (8, 8, 24, 24))]),
        6: ObjectPrompt(points=[Points(6, [(60, 40)]), Points(6, [(12, 12)], [False])]),
        8: ObjectPrompt(masks=[Mask(8, area(LEFT))], points=[Points(8, [(70, 50)])]),
        9: ObjectPrompt(scribbles=[Scribble(9, [[(0.6, 0.6), (0.7, 0.6)]])], boxes=[Box(9, (8, 8, 24, 24))]),
    }
    given = given_masks(prompts, GEOMETRY, torch.device("cpu"))
    tokens = encode_prompts(model, features(model), GEOMETRY, prompts, given, 5)
    one, two = colour(1), colour(2)
    wanted = {4: [two, one], 6: [two, -one], 8: [one, one, two], 9: [two, two, one]}
    assert list(tokens) == list(prompts)
    for object_id, vectors in wanted.items():
        said = tokens[object_id]
        torch.testing.assert_close(said.features[0][said.valid[0]], torch.stack(vectors))
        assert set(said.positions[said.valid].flatten().tolist()) == {5}


def test_clicks_move_with_the_frame() -> None:
    """Frames of twice the size, clicks and boxes in their pixels."""
    model = ScriptedModel()
    prompts = {
        1: ObjectPrompt(points=[Points(1, [(120, 80)])]),
        2: ObjectPrompt(boxes=[Box(2, (16, 16, 48, 48))]),
        3: ObjectPrompt(scribbles=[Scribble(3, [[(0.6, 0.6), (0.7, 0.6)]])]),
    }
    tokens = encode_prompts(model, features(model), SMALL, prompts, {}, 0)
    for object_id, label in {1: 2, 2: 1, 3: 2}.items():
        said = tokens[object_id]
        assert (said.features[said.valid] == colour(label)).all()
    for prompt, wanted in ((prompts[1], (60, 40)), (ObjectPrompt(points=[Points(1, [(16, 20)])]), (8, 10))):
        y, x = torch.meshgrid(4 * torch.arange(16) + 2, 4 * torch.arange(24) + 2, indexing="ij")
        assert torch.equal(rough_maps(prompt, SMALL)[0] > 0, (x - wanted[0]) ** 2 + (y - wanted[1]) ** 2 <= 64)
    inside = rough_maps(prompts[2], SMALL)
    assert inside[0, 2:6, 2:6].min() == 1 and inside[0].sum() == 16 and torch.equal(inside.sum(0), torch.ones(16, 24))


def test_rough_maps_say_where_and_where_not() -> None:
    clicks = ObjectPrompt(points=[Points(1, [(14, 14), (62, 42)], [True, False])])
    where, not_there = rough_maps(clicks, GEOMETRY)
    assert where[3, 3] == 1 and where[10, 15] == 0 and not_there[10, 15] == 1 and not_there[3, 3] == 0
    stroke = ObjectPrompt(scribbles=[Scribble(1, [[(0.1, 0.3), (0.3, 0.3)]])], points=[Points(1, [(62, 42)])])
    where, not_there = rough_maps(stroke, GEOMETRY)
    assert where[4, 3:7].min() == 1 and where[10, 15] == 1 and not not_there.any()
    boxes = ObjectPrompt(
        boxes=[Box(1, (8, 8, 24, 24)), Box(1, (48, 32, 80, 56))],
        points=[Points(1, [(14, 14), (90, 4), (64, 44)], [True, True, False])],
        scribbles=[Scribble(1, [[(0.9, 0.9), (0.95, 0.9)]])],
    )
    where, not_there = rough_maps(boxes, GEOMETRY)
    wanted = torch.from_numpy(area(LEFT) | area(RIGHT))[2::4, 2::4].float()
    y, x = torch.meshgrid(4 * torch.arange(16) + 2, 4 * torch.arange(24) + 2, indexing="ij")
    wanted[(x - 64) ** 2 + (y - 44) ** 2 <= 64] = 0
    assert torch.equal(where, wanted) and torch.equal(not_there, 1 - wanted)


def test_thin_lines_fill_the_blocks_that_they_touch() -> None:
    line = torch.zeros(32, 64)
    line[9, 3:20] = 1
    covered = cover(line)
    assert covered.shape == line.shape and covered[8:16, :24].min() == 1 and covered.sum() == 8 * 24


def test_several_strokes_and_clicks_say_one_thing() -> None:
    model = ScriptedModel()
    strokes = [Scribble(1, [[(0.1, 0.3), (0.3, 0.3)]]), Scribble(1, [[(0.6, 0.6), (0.7, 0.6)]])]
    encode_prompts(model, features(model), GEOMETRY, {1: ObjectPrompt(scribbles=strokes)}, {}, 0)
    drawn = model.encoded[0][1][0]
    assert drawn[19, 10:28].min() == drawn[38, 58:67].min() == 1 and drawn.max() == 1
    where, _ = rough_maps(ObjectPrompt(scribbles=strokes, points=[Points(1, [(14, 18)])]), GEOMETRY)
    assert where[4, 3:7].min() == where[9, 15:16].min() == 1 and where.max() == 1  # where they meet, too


@pytest.mark.parametrize("side", [64, 128])
def test_strokes_are_drawn_at_the_size_of_the_input(side: int) -> None:
    model = ScriptedModel()
    geometry = Geometry.fit(60, 84, None, side)
    prompts = {1: ObjectPrompt(scribbles=[Scribble(1, [[(0.0, 0.5), (1.0, 0.5)]])])}
    seen = torch.zeros(1, 3, *geometry.padded)
    encode_prompts(model, model.encode_image(seen), geometry, prompts, {}, 0)
    ((_, drawn),) = model.encoded
    assert drawn.shape == (1, *geometry.padded)
    rows, columns = (np.unique(places) for places in np.nonzero(drawn[0].numpy()))
    assert rows.min() >= 24 and rows.max() < 40 and columns.max() < 88
