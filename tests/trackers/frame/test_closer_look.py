"""A closer look at what was asked for: which square is seen, what comes of its mask, and who takes no part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tests.trackers.frame.films import film, run, same, shown
from tests.trackers.frame.looking import SIDE, looks_closer
from tests.trackers.frame.test_instances import run as find
from tests.trackers.frame.test_instances import sight
from tests.trackers.frame.test_tracker_answers import GROUP, PART, Answering
from tests.trackers.scripted import ScriptedModel, area, cells, picture
from univs.masks.geometry import Geometry
from univs.models.mask_refiner import Squares
from univs.models.univs import UniVS
from univs.prompts import Box, Points
from univs.trackers.frame.closer_look import (
    Candidate,
    boxed,
    boxes_of,
    cells_of_square,
    cut_frame,
    look_closer,
    mask_of_square,
    window_of,
    within,
)
from univs.trackers.object_prompts import ObjectPrompt


def test_a_box_is_seen_in_a_square_around_it_and_its_mask_is_sharper_than_cells() -> None:
    frame = picture(0, {1: (10, 10, 22, 22)})
    plain, model = ScriptedModel(), looks_closer(ScriptedModel())
    said = {0: [Box(7, (10, 10, 22, 22))]}
    (rough,), (fine,) = run(plain, [frame], said), run(model, [frame], said)
    ((squares, known),) = model.squares  # type: ignore[misc]
    assert squares.shape == (1, 3, SIDE, SIDE) and known.shape == (1, 4, 16, 16)
    # 32 pixels of the frame, (0, 0) to (32, 32): two of the square to one of them
    assert (squares[0, 0, 22:42, 22:42] == 1).all() and (squares[0, 0, :16] == 0).all()
    inside = known[0, 1].sum() / 256
    assert inside == pytest.approx((12 / 32) ** 2, abs=0.08)  # the share of the square that is the box
    truth = area((10, 10, 22, 22))
    assert same(fine.labels == 7, truth, 16)
    assert np.logical_xor(rough.labels == 7, truth).sum() > np.logical_xor(fine.labels == 7, truth).sum()


def test_a_click_beside_a_box_is_known_and_a_click_alone_is_not_looked_at() -> None:
    frames = film(2)
    model = looks_closer(ScriptedModel())
    results = run(model, frames, {0: [Box(7, (8, 8, 24, 24)), Points(7, [(12, 12), (40, 12)], [True, False])]})
    assert same(results[0].labels == 7, frames[0][..., 0] == 1, 12)
    assert same(results[1].labels == 7, frames[1][..., 0] == 1, 12)
    assert len(model.squares) == 1  # type: ignore[arg-type]  # the second frame was asked nothing
    _, known = model.squares[0]  # type: ignore[index, misc]
    assert known[0, 2].any() and known[0, 1].any() and not known[0, 3].any()  # the other click lies beside the square
    assert known[0, 0].mean() == pytest.approx((16 / 32) ** 2, abs=0.15)  # the mask so far
    plain, clicked = ScriptedModel(), looks_closer(ScriptedModel())
    said = {0: [Points(7, [(12, 12)])]}
    assert (run(plain, frames, said)[0].labels == run(clicked, frames, said)[0].labels).all()
    assert not clicked.squares  # type: ignore[truthy-bool]


def test_the_mask_around_which_nothing_else_is_known_makes_the_square() -> None:
    frame = picture(0, {1: (10, 10, 22, 22)})
    model, geometry = looks_closer(ScriptedModel()), Geometry.fit(64, 96)
    clicked = ObjectPrompt(points=[Points(7, [(12, 12)])])
    (seen,) = look_closer(model, frame, geometry, [Candidate(clicked, cells((8, 8, 24, 24)))], True)
    _, known = model.squares[0]  # type: ignore[index, misc]
    assert seen is not None and same(seen.mask, area((10, 10, 22, 22)))
    assert known[0, 2].any() and not known[0, 1].any() and not known[0, 3].any()


def test_each_answer_is_looked_at_and_none_is_thought_likelier_for_it() -> None:
    frames = film(1)
    model = looks_closer(Answering(0.9, 0.2, 0.1))
    (result,) = run(model, frames, {0: [Box(7, (8, 8, 50, 30))]})
    assert len(model.squares[0][0]) == 3  # type: ignore[index, misc]
    assert [other.quality for other in result.alternatives[7]] == pytest.approx([0.2, 0.1])
    assert all(other.mask.shape == frames[0].shape[:2] for other in result.alternatives[7])


def test_without_it_answers_are_what_they_are() -> None:
    frames = film(1)
    model = looks_closer(Answering(0.5, 0.2, 0.9))
    (result,) = run(model, frames, {0: [Box(7, (0, 0, 70, 60))]}, closer_look=False)
    assert same(result.labels == 7, area(GROUP)) and not model.squares  # type: ignore[truthy-bool]
    assert same(result.alternatives[7][1].mask, area(PART))


def test_what_is_too_large_to_be_seen_closer_stays_as_it_is() -> None:
    frame = picture(0, {1: (4, 4, 60, 72)})
    said = {0: [Box(7, (4, 4, 72, 60))]}  # a square of 85 pixels: more than 1.25 times the 64 that are looked at
    model = looks_closer(ScriptedModel())
    (plain,), (result,) = run(ScriptedModel(), [frame], said), run(model, [frame], said)
    assert not model.squares and (plain.labels == result.labels).all()  # type: ignore[truthy-bool]


def test_nobody_looks_who_has_not_learnt_to_and_an_empty_look_changes_nothing() -> None:
    frame, said = picture(0, {1: (8, 8, 24, 24)}), {0: [Box(7, (8, 8, 24, 24))]}
    (plain,) = run(ScriptedModel(), [frame], said)
    model = looks_closer(ScriptedModel())
    model.mask_refiner.learnt = False  # type: ignore[union-attr, assignment]
    (result,) = run(model, [frame], said)
    assert not model.squares and (result.labels == plain.labels).all()  # type: ignore[truthy-bool]
    blind = looks_closer(ScriptedModel())
    blind.refine = lambda squares, said: torch.full((len(squares), 16, 16), -8.0)  # type: ignore[method-assign]
    (result,) = run(blind, [frame], said)
    assert (result.labels == plain.labels).all()


def test_masks_that_are_given_and_objects_that_are_followed_are_not_looked_at() -> None:
    frames = film(3)
    model = looks_closer(ScriptedModel())
    run(model, frames, {0: shown(frames[0], 1, 2), 1: [Box(7, (64, 12, 88, 28))]})
    assert [len(squares) for squares, _ in model.squares] == [1]  # type: ignore[union-attr]


def test_where_two_objects_meet_their_odds_decide_and_none_is_lost() -> None:
    frame = picture(0, {1: (8, 8, 24, 24), 2: (8, 24, 24, 40)})
    model = looks_closer(ScriptedModel())
    (result,) = run(model, [frame], {0: [Box(1, (8, 8, 24, 24)), Box(2, (24, 8, 40, 24))]})
    assert same(result.labels == 1, frame[..., 0] == 1, 16) and same(result.labels == 2, frame[..., 0] == 2, 16)


def test_the_memory_takes_the_mask_of_the_closer_look() -> None:
    frame = picture(0, {1: (8, 8, 24, 24)})
    model = looks_closer(ScriptedModel())
    model.answers[0, 1] = cells((8, 8, 20, 20))  # less than the object
    (result,) = run(model, [frame], {0: [Box(7, (8, 8, 24, 24))]})
    (_, remembered), *_ = model.encoded
    assert same(result.labels == 7, area((8, 8, 24, 24)))
    assert same(remembered[0, :64, :96].numpy() > 0.5, area((8, 8, 24, 24)))


def test_many_objects_are_looked_at_as_one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = film(1)[0]
    boxes: Sequence[Any] = [Box(1, (8, 8, 24, 24)), Box(2, (32, 40, 64, 56)), Box(3, (64, 8, 88, 24))]
    every = run(looks_closer(ScriptedModel()), [frame], {0: boxes})[0].labels
    for box in boxes:
        (alone,) = run(looks_closer(ScriptedModel()), [frame], {0: [box]})
        assert ((every == box.object_id) == (alone.labels == box.object_id)).all()


@pytest.mark.parametrize("size", [(64, 96), (128, 192), (50, 70), (400, 600)])
def test_squares_are_cut_from_the_pixels_of_the_frame_and_laid_back(size: tuple[int, int]) -> None:
    """A smooth picture, seen at an input of 64 pixels, whatever the frame's own size."""
    geometry = Geometry.fit(*size, short=64)
    rows, columns = ((np.arange(n) + 0.5) / n for n in size)
    smooth = np.stack([np.broadcast_to(v, size) for v in (rows[:, None], columns[None], rows[:, None])], -1)
    image = np.round(250 * smooth).astype(np.uint8)
    model = ScriptedModel()
    model.pixel_std = torch.ones(3, 1, 1)
    square = Squares(torch.tensor([[30.0, 25.0]]), torch.tensor([40.0]))
    found = cut_frame(model, image, geometry, square, SIDE)
    steps = (torch.arange(SIDE) + 0.5) / SIDE * 40
    across = 250 * (10 + steps) / geometry.input_width
    down = 250 * (5 + steps) / geometry.input_height
    inner = slice(2, -2)
    assert (found[0, 1, 30, inner] - across[inner]).abs().max() < 3
    assert (found[0, 0, inner, 30] - down[inner]).abs().max() < 3
    logits = torch.where(torch.arange(16)[:, None] < 8, 5.0, -5.0).expand(16, 16)  # its upper half
    mask = mask_of_square(logits, square, geometry)
    zoom = size[0] / geometry.input_height
    assert mask.shape == size and mask.sum() == pytest.approx(40 * 20 * zoom**2, rel=0.12)
    ys, xs = np.nonzero(mask)
    assert ys.min() == pytest.approx(5 * zoom, abs=zoom + 1) and ys.max() == pytest.approx(25 * zoom, abs=zoom + 1)
    assert xs.min() == pytest.approx(10 * zoom, abs=zoom + 1) and xs.max() == pytest.approx(50 * zoom, abs=zoom + 1)
    share = cells_of_square(logits, square, geometry)
    assert share.shape == tuple(side // 4 for side in geometry.padded)
    assert (share > 0).sum() == pytest.approx(50, abs=10)


def test_a_square_beyond_the_frame_is_empty_there() -> None:
    geometry = Geometry.fit(64, 96)
    square = Squares(torch.tensor([[0.0, 0.0]]), torch.tensor([32.0]))
    assert window_of(square, geometry) == (slice(0, 18), slice(0, 18))
    model = ScriptedModel()
    model.pixel_std = torch.ones(3, 1, 1)
    found = cut_frame(model, np.full((64, 96, 3), 9, np.uint8), geometry, square, 32)
    assert (found[0, :, :16] == 0).all() and (found[0, :, 16:, 16:] == 9).all()
    far = Squares(torch.tensor([[500.0, 500.0]]), torch.tensor([32.0]))
    assert not mask_of_square(torch.full((8, 8), 5.0), far, geometry).any()


def test_nothing_is_seen_of_what_is_nowhere() -> None:
    model, geometry = looks_closer(ScriptedModel()), Geometry.fit(64, 96)
    nowhere = Candidate(ObjectPrompt(), torch.full((16, 24), -5.0))
    image = film(1)[0]
    assert look_closer(model, image, geometry, [nowhere], True) == [None]
    assert look_closer(model, image, geometry, [], True) == []
    somewhere = Candidate(ObjectPrompt(), cells((8, 8, 24, 24)))
    first, second = look_closer(model, image, geometry, [nowhere, somewhere], True)
    assert first is None and second is not None and second.mask.any()


def test_an_object_reaches_beyond_its_box_by_a_share_of_it_and_half_a_cell() -> None:
    geometry = Geometry.fit(128, 192, short=64)
    found = within(torch.tensor([[20.0, 10.0, 60.0, 50.0], [0.0, 0.0, 4.0, 4.0]]), geometry)
    ys, xs = np.nonzero(found[20:])
    assert (xs.min(), xs.max() + 1) == (2 * (20 - 4), 2 * (60 + 4)) and ys.max() + 21 == 2 * (50 + 4)
    assert found[:13, :13].all()


def test_boxes_of_objects_that_have_fewer_are_empty() -> None:
    geometry = Geometry.fit(64, 96, short=32)
    said = [ObjectPrompt(boxes=[Box(1, (0, 0, 8, 8)), Box(1, (8, 8, 16, 24))]), ObjectPrompt()]
    assert boxes_of(said, geometry).tolist() == [[[0, 0, 4, 4], [4, 4, 8, 12]], [[0, 0, 0, 0], [0, 0, 0, 0]]]


def test_a_model_of_few_channels_streams_as_it_answers_at_once(tmp_path: Any) -> None:
    """A real network: the same clip twice, and with an object more."""
    from tests.training.conftest import build_small

    model: UniVS = build_small(answers=True, looks=True).eval()
    assert model.mask_refiner is not None
    model.mask_refiner.learnt.fill_(True)
    frames = film(3)
    first = run(model, frames, {0: [Box(1, (8, 8, 24, 24))]})  # type: ignore[arg-type]
    again = run(model, frames, {0: [Box(1, (8, 8, 24, 24))]})  # type: ignore[arg-type]
    for one, other in zip(first, again, strict=True):
        assert (one.labels == other.labels).all() and one.scores == other.scores


def test_a_box_holds_what_a_closer_look_shows_and_what_is_remembered_of_it() -> None:
    """The object reaches 8 pixels beyond a box of 12: a twentieth of that and half a cell are allowed."""
    frame, whole = picture(0, {1: (4, 4, 28, 28)}), area((4, 4, 28, 28))
    said = {0: [Box(7, (8, 8, 20, 20))]}
    model, free = looks_closer(ScriptedModel()), looks_closer(ScriptedModel())
    (result,) = run(model, [frame], said)
    assert ((result.labels == 7) == area((5, 5, 23, 23))).all()  # 8 - 2.6 and 20 + 2.6, whole pixels
    (_, remembered), *_ = model.encoded
    assert (
        remembered[0, 24:].max() < 0.01 and remembered[0, :, 24:].max() < 0.01 and remembered[0, 8:20, 8:20].min() > 0.9
    )
    (result,) = run(free, [frame], said, confine_prompts=False)
    assert same(result.labels == 7, whole, 16)
    (_, remembered), *_ = free.encoded
    assert remembered[0, 4:28, 4:28].min() > 0.9


def test_of_two_like_things_in_a_box_a_new_object_is_the_one_that_was_clicked_at() -> None:
    """As without a closer look; of an object that is known both may be."""
    frame = picture(0, {1: (8, 8, 20, 26)})
    frame[8:20, 30:40] = frame[10, 10]
    box, click = Box(7, (8, 8, 40, 20)), Points(7, [(12, 12)])
    one, other = area((8, 8, 20, 26)), area((8, 30, 20, 40))
    model = looks_closer(ScriptedModel())
    results = run(model, [frame, frame], {0: [box, click], 1: [box, click]})
    (_, remembered), *_ = model.encoded
    for labels, beside in zip([one.labels == 7 for one in results], (0, 1), strict=True):
        assert labels[one].mean() > 0.9 and abs(labels[other].mean() - beside) < 0.25
    assert remembered[0][torch.from_numpy(one)].mean() > 0.8 and remembered[0][torch.from_numpy(other)].max() <= 0.5


def test_what_a_closer_look_shows_beyond_the_frame_is_not_remembered() -> None:
    """A frame of 60 x 84, whose input is padded to 64 x 96; all of the square is taken for the object."""
    geometry = Geometry.fit(60, 84)
    square = Squares(torch.tensor([[76.0, 52]]), torch.tensor([32.0]))
    found = cells_of_square(torch.full((16, 16), 8.0), square, geometry)
    assert (found[9:15, 15:21] > 0).all() and (found[15:] < -8).all() and (found[:, 21:] < -8).all()


def test_what_was_found_is_boxed_in_pixels_of_the_frame() -> None:
    geometry = Geometry.fit(120, 200, 60)  # half of it is seen: 60 x 100, padded to 64 x 128
    logits = torch.full((16, 32), -3.0)
    logits[2:5, 4:10] = 1.0
    ((found,),) = [boxed(logits, geometry).boxes]
    assert found.xyxy == pytest.approx((32, 16, 80, 40))
    assert boxed(torch.full((16, 32), -3.0), geometry) == ObjectPrompt()


def test_who_is_not_looked_at_shifts_nobody() -> None:
    """What was said of an object, and the mask so far, are its own beside one that is nowhere."""
    frame, geometry = picture(0, {1: (4, 4, 28, 28)}), Geometry.fit(64, 96)
    nowhere = Candidate(ObjectPrompt(), torch.full((16, 24), -5.0))
    said = ObjectPrompt(boxes=[Box(7, (8, 8, 20, 20))], points=[Points(7, [(9, 9), (17, 18)], [True, False])])
    boxed, known = Candidate(said, cells((8, 8, 16, 20))), []
    for candidates in ([boxed], [nowhere, boxed]):
        model = looks_closer(ScriptedModel())
        seen = look_closer(model, frame, geometry, candidates, True)[-1]
        assert seen is not None and (seen.mask == area((5, 5, 23, 23))).all()
        known.append(model.squares[0][1])  # type: ignore[index, misc]
    assert torch.equal(*known) and all(one.any() for one in known[0][0])


@pytest.mark.parametrize(("side", "looked"), [(63, 1), (65, 0)])
def test_a_square_of_a_quarter_more_than_what_is_seen_of_it_is_still_looked_at(side: int, looked: int) -> None:
    """Of 78.75 pixels, and of 81.25, where 64 are seen."""
    model = looks_closer(ScriptedModel())
    run(model, [picture(0, {1: (4, 4, 60, 72)})], {0: [Box(7, (4, 4, 4 + side, 40))]})
    assert len(model.squares) == looked  # type: ignore[arg-type]


def test_a_box_for_an_object_that_is_known_is_looked_at_too() -> None:
    frames = film(2)
    model = looks_closer(ScriptedModel())
    run(model, frames, {0: shown(frames[0], 1, 2), 1: [Box(1, (8, 12, 24, 28))]})
    assert [len(squares) for squares, _ in model.squares] == [1]  # type: ignore[union-attr]


def test_what_is_thinner_than_a_cell_is_seen_closer_whichever_answer_it_is() -> None:
    """A line of two pixels: no cell is more than half in it."""
    model, line = looks_closer(Answering(0.9, 0.2, 0.1)), (8, 16, 24, 18)
    (result,) = run(model, [picture(0, {1: line})], {0: [Box(7, (8, 8, 24, 24))]})
    assert same(result.labels == 7, area(line), 4) and (result.labels == 7).any()
    for other in result.alternatives[7]:
        assert same(other.mask, area(line), 4) and other.mask.any()


def test_squares_are_normalised_as_frames_are_and_of_the_mean_colour_beyond_them() -> None:
    """As what pads a frame is."""
    model, geometry = ScriptedModel(), Geometry.fit(64, 96)
    model.pixel_mean = torch.tensor([100.0, 80, 60]).view(3, 1, 1)
    model.pixel_std = torch.tensor([50.0, 40, 20]).view(3, 1, 1)
    square = Squares(torch.tensor([[0.0, 16.0]]), torch.tensor([32.0]))
    found = cut_frame(model, np.full((64, 96, 3), 200, np.uint8), geometry, square, 32)
    assert found[0, :, 2:-2, 18:-2].amax((1, 2)).tolist() == found[0, :, 2:-2, 18:-2].amin((1, 2)).tolist() == [2, 3, 7]
    assert not found[0, :, :, :14].any()


def test_fine_stripes_turn_grey_where_a_square_is_shrunk_and_stay_where_it_is_not() -> None:
    image = np.zeros((256, 384, 3), np.uint8)
    image[:, ::4] = 200
    model, geometry = ScriptedModel(), Geometry.fit(256, 384, short=64)
    model.pixel_std = torch.ones(3, 1, 1)
    large, small = (Squares(torch.tensor([[48.0, 32.0]]), torch.tensor([side])) for side in (48.0, 16.0))
    grey = cut_frame(model, image, geometry, large, SIDE)[0, :, 4:-4, 4:-4]  # three pixels of the frame to one
    assert (grey - 50).abs().max() < 30
    sharp = cut_frame(model, image, geometry, small, SIDE)[0]  # pixel by pixel
    torch.testing.assert_close(
        sharp, torch.from_numpy(image[96:160, 160:224]).permute(2, 0, 1).float(), atol=0.01, rtol=0
    )


def test_what_is_found_is_seen_closer_however_large_it_is() -> None:
    """In a square of 158 pixels, of which 64 are seen: too much only for boxes that a person drew."""
    model, place = looks_closer(ScriptedModel()), (4, 4, 60, 92)
    model.sights[0] = [sight(place, 0.9, 0.1, 0.1)]
    (result,) = find(model, [picture(0, {1: place})])
    assert [len(squares) for squares, _ in model.squares] == [1]  # type: ignore[union-attr]
    assert result.object_ids == (1,) and (result.labels == 1).any()
