"""Objects that were shown or described, clip by clip, with a model whose answers are known: what is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.trackers.scripted import SURE, Rectangle, ScriptedModel, ScriptedWords, area, cells, colour, picture
from univs.errors import UserError
from univs.prompts import Box, Categories, Mask, Points, Prompt, Scribble, Text
from univs.results import FrameResult
from univs.streaming import Session

LEFT, RIGHT = (8, 8, 24, 24), (32, 48, 56, 80)
WORDS = {"the one": colour(1), "the two": colour(2), "the three": colour(3)}


def scripted() -> ScriptedModel:
    return ScriptedModel(dense=False)


def film(count: int, *places: Rectangle) -> list[NDArray[np.uint8]]:
    return [picture(index, dict(enumerate(places or (LEFT, RIGHT), start=1))) for index in range(count)]


def session_of(model: ScriptedModel, task: str = "vos", **options: Any) -> Session:
    known: dict[str, Any] = {"way": "clip", "clip_length": 3, "clip_stride": 1}
    known |= {"text_encoder": ScriptedWords(WORDS)} if task == "refvos" else {"token_width": 2}
    return Session(model, task, keep_results=False, **{**known, **options})


def run(
    model: ScriptedModel,
    frames: Sequence[NDArray[np.uint8]],
    prompts: Mapping[int, Sequence[Prompt]],
    task: str = "vos",
    **options: Any,
) -> list[FrameResult]:
    with session_of(model, task, **options) as session:
        results = [result for i, frame in enumerate(frames) for result in session.push(frame, prompts.get(i, ()))]
        return results + session.flush()


def shown(*labels: int) -> list[Prompt]:
    return [Mask(label, area((LEFT, RIGHT)[label - 1])) for label in labels]


def same(mask: NDArray[Any], wanted: NDArray[Any], differ: int = 8) -> bool:
    return bool(np.logical_xor(mask, wanted).sum() <= differ)


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (3, 1), (3, 2), (3, 3), (5, 2)])
def test_every_object_is_followed_by_what_was_said_of_it(length: int, stride: int) -> None:
    frames = [picture(i, {1: (8, 8 + 4 * i, 24, 24 + 4 * i), 2: (32, 48 - 4 * i, 56, 80 - 4 * i)}) for i in range(8)]
    prompts: dict[int, Sequence[Prompt]] = {0: [Mask(9, frames[0][..., 0] == 2)], 3: [Box(7, (20, 8, 36, 24))]}
    results = run(scripted(), frames, prompts, clip_length=length, clip_stride=stride)
    assert [result.frame_index for result in results] == list(range(8))
    for frame, result in zip(frames, results, strict=True):
        assert set(result.object_ids) == ({9} if result.frame_index < 3 else {7, 9})
        assert same(result.labels == 9, frame[..., 0] == 2)
        assert result.frame_index < 3 or same(result.labels == 7, frame[..., 0] == 1)
    assert results[0].scores[9] == 1 and 0.9 < results[1].scores[9] < 1


def test_scores_are_the_mean_probability_inside() -> None:
    """Of sums over the clips: on frame 1 the clips of frames 0 and 1 say 1.5 each, on frame 2 three of them do."""
    model = scripted()
    model.answers.update({(index, 1): cells(LEFT, 1.5, -4.0) for index in range(1, 6)})
    results = run(model, film(6), {0: shown(1)})
    at_most = [1.0, *(1 / (1 + np.exp(-1.5 * clips)) for clips in (2, 3, 3))]
    for result, wanted in zip(results[:4], at_most, strict=True):
        inner = result.scores[1]
        assert wanted - 0.12 < inner <= wanted + 1e-6


def test_a_prediction_that_does_not_look_like_the_past_is_not_believed() -> None:
    for likeness, believed in ((0.45, False), (0.55, True)):
        model = scripted()
        off = 6 * (likeness * colour(1) + (1 - likeness**2) ** 0.5 * colour(4))
        model.looks.update({(index, 1): off for index in range(3, 6)})
        results = run(model, film(9), {0: shown(1, 2)}, clip_length=3, clip_stride=3)
        assert [bool((result.labels == 1).any()) for result in results[3:6]] == [believed] * 3
        assert all((result.labels == 2).any() for result in results)
        assert results[4].scores[1] == 0 or believed


@pytest.mark.parametrize(("likeness", "winner"), [(0.92, 1), (1.0, 2)])
def test_the_likeness_counts_twice(likeness: float, winner: int) -> None:
    """The first object has quality 0.886; the second one 0.984, and a likeness whose square is 0.85, or 1."""
    model = scripted()
    contested = (8, 24, 24, 40)
    first = torch.maximum(cells(LEFT), cells(contested))
    first[2:5, 2:4] = 0.9  # of 32 cells 6 are unsure
    model.answers[1, 1], model.answers[1, 2] = first, torch.maximum(cells(RIGHT), cells(contested))
    model.looks[1, 1] = 6 * colour(1)
    model.looks[1, 2] = 6 * (likeness * colour(2) + (1 - likeness**2) ** 0.5 * colour(4))
    results = run(model, film(3), {0: shown(1, 2)}, clip_length=1)
    assert (results[1].labels[12:20, 28:36] == winner).all()


def test_what_was_said_is_kept_while_a_clip_needs_it() -> None:
    session, waiting = session_of(scripted()), []
    for frame in film(9):
        session.push(frame, shown(1))
        loop: Any = session._loop
        waiting.append(len(loop._prompts))
    assert waiting == [1, 2, 2, 2, 2, 2, 2, 2, 2]


def test_who_is_not_believed_takes_nothing_from_the_others() -> None:
    """The second object is hardly believed and hardly sure; the first one not at all."""
    model = scripted()
    for index, label, likeness in ((1, 1, 0.45), (1, 2, 0.55)):
        model.looks[index, label] = 6 * (likeness * colour(label) + (1 - likeness**2) ** 0.5 * colour(4))
    weak = cells(RIGHT, 0.9)
    weak[8:10, 12:16] = SURE
    model.answers[1, 2] = weak
    _, result, _ = run(model, film(3), {0: shown(1, 2)}, clip_length=1)
    assert not (result.labels == 1).any() and (result.labels[36:52, 52:76] == 2).all()


def test_what_is_not_believed_does_not_become_the_past() -> None:
    model = scripted()
    model.looks.update({(index, 1): 6 * colour(4) for index in range(3, 9)})
    results = run(model, film(9), {0: shown(1, 2)}, clip_length=1)
    assert [bool((result.labels == 1).any()) for result in results] == [index < 3 for index in range(9)]


@pytest.mark.parametrize(("columns", "kept"), [(3, True), (2, False)])
def test_an_object_that_loses_most_of_its_area_is_dropped_for_the_clip(columns: int, kept: bool) -> None:
    """Of twelve columns it keeps two or three; a quarter is wanted."""
    model = scripted()
    model.answers[1, 1] = cells((8, 0, 24, 48), 4.0)
    model.answers[1, 2] = torch.maximum(cells(RIGHT), cells((8, 4 * columns, 24, 48)))
    results = run(model, film(3), {0: shown(1, 2)}, clip_length=1)
    assert bool((results[1].labels == 1).any()) == kept


@pytest.mark.parametrize(
    ("place", "believed"), [((8, 8, 24, 24), True), ((8, 20, 24, 36), True), ((8, 60, 24, 92), False)]
)
def test_a_first_prediction_must_meet_the_mask_that_was_given(place: Rectangle, believed: bool) -> None:
    model = scripted()
    model.answers.update({(index, 1): cells(place) for index in range(3)})
    results = run(model, film(3), {0: shown(1)}, clip_length=3, clip_stride=3)
    assert ((results[0].labels == 1) == area(LEFT)).all()  # given, whatever was predicted
    assert [bool((result.labels == 1).any()) for result in results[1:]] == [believed] * 2


def test_of_first_predictions_the_one_that_fits_its_given_mask_has_the_pixel() -> None:
    model = scripted()
    contested = (8, 24, 24, 40)
    model.answers.update({(index, 1): torch.maximum(cells(LEFT), cells(contested)) for index in range(3)})
    model.answers.update({(index, 2): torch.maximum(cells(RIGHT), cells(contested)) for index in range(3)})
    results = run(model, film(3), {0: shown(1, 2)}, clip_length=3, clip_stride=3)
    assert (results[1].labels[12:20, 28:36] == 2).all()  # 2 / 3 of the larger mask is its own, of the first one half
    assert same(results[1].labels == 1, area(LEFT)) and (results[0].labels[12:20, 28:36] == 0).all()


def test_a_mask_given_later_is_the_answer_of_its_frame_in_all_clips() -> None:
    model = scripted()
    other = area((0, 64, 16, 96))
    results = run(model, film(6), {0: shown(1), 3: [Mask(1, other)]})
    assert ((results[3].labels == 1) == other).all() and results[3].scores[1] == 1
    assert all(same(results[index].labels == 1, area(LEFT)) for index in (0, 1, 2))


def test_clicks_and_boxes_speak_on_their_own_frame() -> None:
    model = scripted()
    results = run(model, film(7), {0: [Points(3, [(60, 40), (14, 14)], [True, False])], 4: [Box(5, (8, 8, 24, 24))]})
    assert [result.object_ids for result in results] == [(3,)] * 4 + [(3, 5)] * 3
    assert all(same(result.labels == 3, area(RIGHT), 130) for result in results)
    assert all(same(result.labels == 5, area(LEFT)) for result in results[4:])
    assert [asked.tokens[1:] for asked in model.asked] == [(), (), ((4,),), ((4,),), ((4, 5),)]
    first = model.asked[0]
    assert torch.allclose(first.rows[0], (colour(2) - colour(1)) / 2**0.5)
    assert [asked.frames for asked in model.asked] == [(0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 6)]


def test_what_was_said_on_a_frame_is_not_replaced_by_its_mask() -> None:
    model = scripted()
    run(model, film(7), {0: shown(2), 2: [Points(5, [(14, 14), (60, 40)], [True, False])]})
    for asked in model.asked[:2]:  # what was clicked away stays away, though the mask knows nothing of it
        assert float(asked.rows[1, 1]) == pytest.approx(-float(asked.rows[1, 0]), abs=1e-3)


def test_objects_are_asked_for_by_their_first_and_their_last_frames() -> None:
    model = scripted()
    run(model, film(8), {0: shown(1), 2: shown(2)}, token_frames=4)
    first = [(0,), (0, 1, 2), (0, 1, 2, 3), (0, 2, 3, 4), (0, 3, 4, 5), (0, 4, 5, 6)]
    second = [(), (2,), (2, 3), (2, 3, 4), (2, 3, 4, 5), (2, 4, 5, 6)]  # the first clip knows frame 0 alone
    assert [asked.tokens for asked in model.asked] == list(zip(first, second, strict=True))


def test_an_object_that_is_removed_leaves_the_others_in_place() -> None:
    session, frames = session_of(scripted(), clip_length=1), film(5)
    session.push(frames[0], shown(1, 2))
    session.push(frames[1])
    session.remove(1)
    for index in (2, 3):
        (result,) = session.push(frames[index])
        assert result.object_ids == (2,) and same(result.labels == 2, area(RIGHT))
    (again,) = session.push(frames[4], [Points(1, [(14, 14)])])
    assert set(again.object_ids) == {1, 2} and same(again.labels == 1, area(LEFT))
    assert same(again.labels == 2, area(RIGHT))


def test_the_order_of_the_objects_does_not_matter() -> None:
    runs = []
    for order in ((1, 2), (2, 1)):
        model = scripted()
        model.answers[2, 1], model.answers[2, 2] = cells((8, 8, 24, 52), 3.0), cells((16, 40, 56, 80), 5.0)
        runs.append(run(model, film(5), {0: shown(*order)}))
    for ours, theirs in zip(*runs, strict=True):
        assert (ours.labels == theirs.labels).all() and ours.scores == pytest.approx(dict(theirs.scores))


def test_the_margin_gives_a_mask_no_quality() -> None:
    """The first object is unsure inside the frame and sure beyond it: the other one has the pixels."""
    model, size = scripted(), (60, 84)
    frames = [picture(i, {1: LEFT, 2: RIGHT}, size) for i in range(3)]
    contested = (8, 24, 24, 40)
    first = torch.maximum(cells(LEFT), cells(contested))
    first[2:6, 2:6] = 0.9
    first[15:], first[:, 21:] = SURE, SURE
    second = torch.maximum(cells(RIGHT), cells(contested))
    second[8:14, 12:16] = 0.9  # 24 of 64 cells are unsure
    model.answers[1, 1], model.answers[1, 2] = first, second
    given = [Mask(label, frames[0][..., 0] == label) for label in (1, 2)]
    results = run(model, frames, {0: given}, clip_length=1)
    assert (results[1].labels[12:20, 28:36] == 2).all() and results[1].labels.shape == size


def test_expressions_are_asked_of_every_clip_and_may_overlap() -> None:
    model = scripted()
    model.replies.update({(index, 2): cells(LEFT) for index in range(6)})
    results = run(model, film(6), {0: [Text("The (ONE)", 1), Text("the two!", 2)]}, "refvos")
    for result in results:
        assert same(result.mask(1), area(LEFT)) and same(result.mask(2), area(LEFT))
        assert set(np.unique(result.labels)) == {0, 2}
    assert len(model.asked) == 4 and all(asked.request.grounding_blend == "best_learnable" for asked in model.asked)
    others: list[Prompt] = [Box(1, (0, 0, 9, 9)), Points(1, [(3, 3)]), Mask(1, area(LEFT)), Scribble(1, [[(0.1, 0.1)]])]
    for other in others:
        with pytest.raises(UserError, match="followed by its words alone"):
            session_of(scripted(), "refvos", clip_length=1).push(film(1)[0], [Text("the one", 1), other])
    with pytest.raises(UserError, match="the model scripted takes no words"):
        session_of(scripted(), "refvos", clip_length=1, text_encoder=None).push(film(1)[0], [Text("the one", 1)])
    with pytest.raises(UserError, match="is not a visual prompt"):
        session_of(scripted(), clip_length=1).push(film(1)[0], [Text("the one", 1)])


def test_each_expression_has_its_own_object() -> None:
    places = (LEFT, RIGHT, (0, 60, 16, 96))
    results = run(
        scripted(), film(4, *places), {0: [Text("the " + word) for word in ("two", "one", "three")]}, "refvos"
    )
    for result in results:
        for number, place in enumerate((RIGHT, LEFT, places[2]), start=1):
            assert same(result.mask(number), area(place))


def test_what_a_frame_makes_of_an_expression_is_found_once() -> None:
    model = scripted()
    session, frames = session_of(model, "refvos"), film(7)
    session.push(frames[0], [Text("the one", 1)])
    for frame in frames[1:4]:
        session.push(frame)
    assert model.read == [(index, 1) for index in range(4)]
    session.push(frames[4], [Text("the two", 2)])
    assert model.read[4:] == [(2, 2), (3, 2), (4, 2)]  # the clip of the new one
    session.push(frames[5])
    session.remove(1)
    (result,) = session.push(frames[6])
    assert model.read[7:] == [(5, 2), (4, 1), (5, 1), (6, 1)]
    assert result.object_ids == (2,) and same(result.mask(2), area(RIGHT))


def test_an_expression_may_come_later() -> None:
    model = scripted()
    results = run(model, film(6), {0: [Text("the one", 1)], 3: [Text("the two", 2)]}, "refvos")
    assert [result.object_ids for result in results] == [(1,)] * 3 + [(1, 2)] * 3
    assert all(same(result.mask(2), area(RIGHT)) for result in results[3:])
    assert [len(asked.rows) for asked in model.asked] == [1, 2, 2, 2]


@pytest.mark.parametrize("first", [0, 3])
def test_an_expression_that_was_announced_changes_nobody_before_it_comes(first: int) -> None:
    """`segment` announces all ids, here in the order in which the prompts are written."""
    said: dict[int, list[Prompt]] = {0: [Text("the one", 2)], 3: [Text("the two", 1)]}
    prompts = {index: said[index] for index in (first, 3 - first)}
    with session_of(scripted(), "refvos") as session:
        session.expect([prompt.object_id or 0 for texts in prompts.values() for prompt in texts])
        results = [result for i, frame in enumerate(film(6)) for result in session.push(frame, said.get(i, ()))]
        results += session.flush()
    alone = run(scripted(), film(6), said, "refvos")
    assert [result.object_ids for result in results] == [(2,)] * 3 + [(1, 2)] * 3
    for ours, theirs in zip(results, alone, strict=True):
        assert same(ours.mask(2), area(LEFT)) and ours.scores == theirs.scores
        assert (ours.labels == theirs.labels).all()


def test_of_overlapping_expressions_the_larger_id_is_on_top() -> None:
    """Whichever comes later."""
    for prompts in ({0: [Text("the one", 5)], 1: [Text("the one", 2)]}, {0: [Text("the one", 2), Text("the one", 5)]}):
        *_, last = run(scripted(), film(4), prompts, "refvos")
        assert last.object_ids == (2, 5) and set(np.unique(last.labels)) == {0, 5}


@pytest.mark.parametrize("refused", [[Box(3, (8, 8, 24, 24))], [Text("the two", 2), Box(3, (8, 8, 24, 24))]])
def test_a_refused_expression_changes_nothing(refused: list[Prompt]) -> None:
    session, frames = session_of(scripted(), "refvos", clip_length=1), film(3)
    session.push(frames[0], [Text("the one", 1)])
    with pytest.raises(UserError, match="followed by its words alone"):
        session.push(picture(1, {}), refused)  # of a frame that shows nobody
    assert session.object_ids == (1,)
    (result,) = session.push(frames[1])
    assert result.frame_index == 1 and result.object_ids == (1,) and same(result.mask(1), area(LEFT))
    assert result.names == {1: "the one"}


def test_a_refused_name_changes_nothing() -> None:
    """The object with the good name comes before the one with the bad name."""
    options = {"classes": Categories(("thing 1", "sky 3"), frozenset({0})), "text_encoder": ScriptedWords()}
    session, frames = session_of(scripted(), "pvos", clip_length=1, **options), film(2)
    session.push(frames[0], [Mask(1, area(LEFT)), Text("thing 1", 1)])
    bad = [Text("sky 3", 1), Mask(1, area(RIGHT)), Mask(4, area(RIGHT)), Mask(5, area(RIGHT)), Text("sea", 5)]
    with pytest.raises(UserError, match="object 5 cannot be of the class 'sea'"):
        session.push(frames[1], bad)
    assert session.object_ids == (1,)
    (result,) = session.push(frames[1])
    assert result.object_ids == (1,) and same(result.mask(1), area(LEFT)) and result.names == {1: "thing 1"}
    tracker: Any = session._loop and session._loop.tracker
    assert 1 not in tracker._stuff
