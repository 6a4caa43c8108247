"""Expressions from the words to the masks: what is believed, what is followed and when it is asked again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.trackers.scripted import SURE, Rectangle, ScriptedModel, ScriptedWords, area, cells, colour, picture
from univs.errors import UserError
from univs.prompts import Box, Mask, Points, Prompt, Text
from univs.results import FrameResult
from univs.streaming import Session

LEFT, RIGHT = (8, 8, 24, 24), (32, 48, 56, 80)
MOSTLY = {"the one": 0.8 * colour(1) + 0.6 * colour(2)}
"""Fits the first colour with sigmoid(6), the second with sigmoid(2)."""


def fit(cosine: float) -> float:
    return 1 / (1 + math.exp(10 - 20 * cosine))


def film(count: int, *places: Rectangle) -> list[NDArray[np.uint8]]:
    return [picture(index, dict(enumerate(places or (LEFT, RIGHT), start=1))) for index in range(count)]


def session_of(model: ScriptedModel, **options: Any) -> Session:
    return Session(model, "refvos", keep_results=False, **{"text_encoder": ScriptedWords(MOSTLY), **options})


def run(
    model: ScriptedModel, frames: Sequence[NDArray[np.uint8]], prompts: Mapping[int, Sequence[Prompt]], **options: Any
) -> list[FrameResult]:
    with session_of(model, **options) as session:
        return [session.step(frame, prompts.get(index, ())) for index, frame in enumerate(frames)] + session.flush()


def same(mask: NDArray[Any], wanted: NDArray[Any], differ: int = 8) -> bool:
    return bool(np.logical_xor(mask, wanted).sum() <= differ)


def asked(model: ScriptedModel) -> list[tuple[int, int]]:
    """(frame, how many expressions) of every question."""
    return [(one.frames[0], len(one.rows)) for one in model.asked if not any(one.tokens)]


def scripted() -> ScriptedModel:
    return ScriptedModel(words=True)


def test_expressions_are_found_named_and_followed() -> None:
    model = scripted()
    frames = [picture(i, {1: (8, 8 + 4 * i, 24, 24 + 4 * i), 2: (32, 48 - 4 * i, 56, 80 - 4 * i)}) for i in range(8)]
    results = run(model, frames, {0: [Text("the 2"), Text("the 1", 1)]})
    for index, (frame, result) in enumerate(zip(frames, results, strict=True)):
        assert result.frame_index == index
        assert result.object_ids == (1, 2) and result.names == {2: "the 2", 1: "the 1"}
        assert same(result.mask(1), frame[..., 0] == 1) and same(result.mask(2), frame[..., 0] == 2)
        assert all(score > 0.99 for score in result.scores.values())
    assert asked(model) == [(0, 2), (3, 2), (6, 2)]
    assert results[0].scores[1] == pytest.approx(fit(1))


def test_an_expression_may_come_later_and_means_what_another_one_means() -> None:
    model = scripted()
    results = run(model, film(5), {0: [Text("the 1", 5)], 2: [Text("a 1", 9)]}, ask_interval=2)
    assert [result.object_ids for result in results] == [(5,), (5,), (5, 9), (5, 9), (5, 9)]
    for result in results[2:]:
        assert same(result.mask(5), area(LEFT)) and same(result.mask(9), area(LEFT))
        assert set(np.unique(result.labels)) == {0, 9}  # the larger id is on top
    assert asked(model) == [(0, 1), (2, 2), (4, 2)]


@pytest.mark.parametrize(("confidence", "followed"), [(0.87, True), (0.89, False)])
def test_an_answer_must_fit_the_words_to_be_followed(confidence: float, followed: bool) -> None:
    """The text fits what is there with 0.88. If that is too little it is asked for on every frame, and still shown."""
    model = scripted()
    model.answers.update({(index, 2): cells(LEFT) for index in range(4)})  # who follows goes astray
    text = {"it": 0.6 * colour(2) + 0.8 * colour(4)}
    model.replies.update({(index, 4): cells(RIGHT) for index in range(4)})
    results = run(
        model, film(3), {0: [Text("it")]}, confidence=confidence, text_encoder=ScriptedWords(text), ask_interval=50
    )
    assert same(results[0].mask(1), area(RIGHT)) and results[0].scores[1] == pytest.approx(fit(0.6), abs=1e-3)
    assert asked(model) == ([(0, 1)] if followed else [(0, 1), (1, 1), (2, 1)])
    assert same(results[2].mask(1), area(LEFT if followed else RIGHT))
    assert results[2].scores[1] == pytest.approx(1.0 if followed else fit(0.6), abs=1e-3)


@pytest.mark.parametrize(("place", "followed"), [((8, 8, 12, 40), True), ((8, 8, 12, 36), False)])
def test_an_answer_must_have_eight_cells_to_be_followed(place: Rectangle, followed: bool) -> None:
    model = scripted()
    results = run(model, film(2, place), {0: [Text("the 1")]}, ask_interval=50)
    assert asked(model) == ([(0, 1)] if followed else [(0, 1), (1, 1)])
    assert all(same(result.mask(1), area(place)) for result in results)


def test_what_is_not_there_fits_nothing_until_it_comes() -> None:
    model = scripted()
    third = (0, 48, 16, 96)
    frames = [picture(i, {1: LEFT, 3: third, **({2: RIGHT} if i >= 2 else {})}) for i in range(4)]
    texts = [Text("the 1", 6), Text("the 2", 7), Text("the 3", 8)]
    results = run(model, frames, {0: texts}, confidence=0.01, ask_interval=50)
    assert [result.scores[7] > 0 for result in results] == [False, False, True, True]
    assert all(result.scores[6] > 0.9 and result.scores[8] > 0.9 for result in results)
    assert [result.object_ids for result in results] == [(6, 7, 8)] * 4
    assert not results[1].mask(7).any() and same(results[3].mask(7), area(RIGHT))
    assert asked(model) == [(0, 3), (1, 1), (2, 1)]


def test_each_answer_is_judged_by_its_own_words() -> None:
    """Each text answers with the other's colour, which fits it not at all; and so does the box that it fits."""
    model, wrong = scripted(), {(0, 1): cells(RIGHT), (0, 2): cells(LEFT)}
    model.replies.update(wrong)
    model.answers.update(wrong)
    (result,) = run(model, film(1), {0: [Text("the 1"), Text("the 2")]})
    assert result.scores == pytest.approx({1: fit(0), 2: fit(0)}, abs=1e-4)


def test_the_box_that_words_fit_answers_where_its_mask_fits_them_better() -> None:
    """The cells of the first text mean the wrong thing, those of the second a part of the right one, as well as all."""
    model, part = scripted(), cells((32, 48, 44, 80))
    model.replies.update({(0, 1): cells(RIGHT), (0, 2): part})
    (result,) = run(model, film(1), {0: [Text("the 1"), Text("the 2")]}, confidence=2.0)
    assert result.scores == pytest.approx({1: fit(1), 2: fit(1)}, abs=1e-4)
    assert same(result.mask(1), area(LEFT)) and same(result.mask(2), area((32, 48, 44, 80)))


@pytest.mark.parametrize(("confidence", "shown"), [(0.87, True), (0.89, False)])
def test_words_that_fit_no_cell_mean_a_box_only_if_it_is_sure(confidence: float, shown: bool) -> None:
    """The box of the first colour fits with sigmoid(2)."""
    model, text = scripted(), {"it": 0.6 * colour(1) + 0.8 * colour(4)}
    model.replies[0, 4] = torch.full_like(cells(LEFT), -SURE)
    options = {"confidence": confidence, "text_encoder": ScriptedWords(text)}
    (result,) = run(model, film(1), {0: [Text("it")]}, **options)
    assert result.mask(1).any() == shown and (not shown or same(result.mask(1), area(LEFT)))


def test_the_margin_is_nobodys() -> None:
    model, size = scripted(), (60, 84)
    frames = [picture(i, {1: (8, 8, 24, 24)}, size) for i in range(2)]
    beyond = cells((8, 8, 24, 24))
    beyond[15:], beyond[:, 21:] = SURE, SURE
    model.replies.update(dict.fromkeys([(0, 1), (1, 1)], beyond))
    model.replies.update({(index, 2): cells((60, 0, 64, 96)) for index in range(2)})
    results = run(model, frames, {0: [Text("the 1"), Text("the 2")]})
    assert results[0].scores[1] == pytest.approx(fit(1), abs=1e-4)
    assert same(results[0].mask(1), area((8, 8, 24, 24), size))
    assert results[0].scores[2] == 0 and not results[0].mask(2).any()
    assert asked(model) == [(0, 2), (1, 1)]  # nothing within the frame: asked again


def astray(model: ScriptedModel, count: int = 12) -> None:
    """Whoever follows the first colour is led to the second object."""
    model.answers.update({(index, 1): cells(RIGHT) for index in range(count)})


@pytest.mark.parametrize(("margin", "back"), [(0.11, True), (0.13, False)])
def test_a_clearly_better_answer_takes_the_place_of_what_is_followed(margin: float, back: bool) -> None:
    """The answer fits with 0.9975, what is followed with 0.8808: by 0.117 better."""
    model = scripted()
    astray(model, 4)
    model.replies.update({(index, 1): cells(LEFT) for index in range(4)})
    results = run(model, film(6), {0: [Text("the one")]}, margin=margin, ask_interval=3)
    model_of = [same(result.mask(1), area(LEFT)) for result in results]
    assert model_of[:3] == [True, False, False] and model_of[3] == back
    assert results[3].scores[1] == pytest.approx(fit(0.8) if back else 1.0, abs=1e-3)


@pytest.mark.parametrize(("overlap", "back"), [(0.4, True), (0.3, False)])
def test_an_answer_at_the_same_place_changes_nothing(overlap: float, back: bool) -> None:
    """The answer overlaps what is followed by a third."""
    model = scripted()
    other = (8, 16, 24, 32)
    model.answers.update({(index, 1): cells(other) for index in range(1, 4)})
    frames = [picture(i, {2: other, 1: LEFT}) for i in range(4)]  # the second colour where the first one is not
    results = run(model, frames, {0: [Text("the 1")]}, overlap=overlap, margin=0.0, ask_interval=3)
    assert same(results[2].mask(1), area(other)) and same(results[3].mask(1), area(LEFT if back else other))


def test_a_better_answer_must_be_better_so_many_times_in_a_row() -> None:
    model = scripted()
    astray(model)
    model.answers[4, 1] = model.answers[4, 2] = cells(
        LEFT
    )  # by then it looks like the second colour; once the answer is what is followed
    results = run(model, film(12), {0: [Text("the 1")]}, patience=2, ask_interval=2)
    # better on 2, not on 4, better on 6 and 8
    assert [same(result.mask(1), area(LEFT)) for result in results] == [i in (0, 4, 8) for i in range(12)]
    once = scripted()
    astray(once)
    results = run(once, film(5), {0: [Text("the 1")]}, patience=1, ask_interval=2)
    assert [same(result.mask(1), area(LEFT)) for result in results] == [True, False, True, False, True]


def test_an_unsure_answer_and_a_correction_end_the_row_of_better_ones() -> None:
    """Better on 2, then unsure, or shown anew, on 4; better on 6 and 8."""
    unsure, shown = scripted(), scripted()
    astray(unsure)
    astray(shown)
    unsure.replies[4, 1] = torch.full((16, 24), -SURE)
    texts: list[Prompt] = [Text("the 1", 4)]
    for model, prompts in ((unsure, {0: texts}), (shown, {0: texts, 4: [Mask(4, area(RIGHT))]})):
        results = run(model, film(10), prompts, patience=2, ask_interval=2)
        assert [same(result.mask(4), area(LEFT)) for result in results] == [i in (0, 8) for i in range(10)]


def test_who_starts_anew_remembers_nothing_of_what_was_followed() -> None:
    model = scripted()
    astray(model, 4)
    run(model, film(7), {0: [Text("the 1")]}, ask_interval=3)
    followed = {one.frames[0]: one.tokens[0] for one in model.asked if any(one.tokens)}
    assert followed[3] == (0, 1, 2) and followed[4] == (3,) and followed[6] == (3, 4, 5)


def test_doubts_are_forgotten_when_one_starts_anew() -> None:
    model = scripted()
    astray(model)
    results = run(model, film(9), {0: [Text("the 1")]}, patience=2, ask_interval=1)
    assert [same(result.mask(1), area(LEFT)) for result in results] == [i % 2 == 0 for i in range(9)]


def test_a_bad_answer_does_not_replace_what_is_followed() -> None:
    model = scripted()
    model.replies[3, 1] = cells(RIGHT)
    results = run(model, film(5), {0: [Text("the 1")]}, margin=-1.0, ask_interval=3)
    assert all(same(result.mask(1), area(LEFT)) for result in results)


def test_who_is_lost_is_taken_up_again_at_the_next_question() -> None:
    model = scripted()
    nothing = torch.full((16, 24), -SURE)
    model.answers.update({(index, 1): nothing for index in range(1, 7)})
    model.replies[3, 1] = nothing  # nor is it there on the first question
    results = run(model, film(8), {0: [Text("the 1")]}, ask_interval=3, patience=5)
    assert [same(result.mask(1), area(LEFT)) for result in results] == [True] + [False] * 5 + [True] * 2
    assert [result.scores[1] for result in results[1:6]] == [0.0] * 5
    assert results[6].scores[1] == pytest.approx(fit(1)) and asked(model) == [(0, 1), (3, 1), (6, 1)]


def test_an_object_may_be_shown_beside_its_words() -> None:
    """What is shown counts more than what the words are answered with."""
    model = scripted()
    results = run(model, film(4), {0: [Text("the 1", 4), Mask(4, area(RIGHT))]}, ask_interval=50)
    assert (results[0].mask(4) == area(RIGHT)).all() and results[0].scores[4] == 1
    assert all(same(result.mask(4), area(RIGHT)) for result in results)


def test_an_answer_may_replace_what_was_shown_on_a_later_frame() -> None:
    model = scripted()
    results = run(model, film(7), {0: [Text("the 1", 4), Mask(4, area(RIGHT))]}, ask_interval=3, patience=2)
    assert [same(result.mask(4), area(LEFT)) for result in results] == [False] * 6 + [True]


def test_a_described_object_is_corrected_like_any_other() -> None:
    model = scripted()
    results = run(model, film(5), {0: [Text("the 1", 4)], 3: [Mask(4, area(RIGHT))]}, ask_interval=3)
    assert same(results[2].mask(4), area(LEFT)) and (results[3].mask(4) == area(RIGHT)).all()
    assert results[3].scores[4] == 1  # though it was asked for on this frame, and answered with another place
    first = run(scripted(), film(2), {0: [Text("the 3", 4)], 1: [Points(4, [(60, 40)])]})
    assert not first[0].mask(4).any() and same(first[1].mask(4), area(RIGHT))


def test_only_what_was_shown_of_it_goes_to_an_object() -> None:
    model = scripted()
    results = run(
        model, film(3), {0: [Text("the 1", 4), Text("the 2", 6)], 1: [Box(6, (8, 8, 24, 24))]}, ask_interval=50
    )
    assert same(results[1].mask(4), area(LEFT))
    assert results[1].mask(6)[8:24, 8:24].any() is np.False_ or results[1].mask(6).sum() < 512


def test_new_words_for_an_object_start_it_anew() -> None:
    model = scripted()
    results = run(model, film(4), {0: [Text("the 1", 4)], 2: [Text("the 2", 4)]}, ask_interval=50)
    assert [same(result.mask(4), area(LEFT)) for result in results] == [True, True, False, False]
    assert same(results[3].mask(4), area(RIGHT)) and results[3].names == {4: "the 2"}
    assert asked(model) == [(0, 1), (2, 1)]


def test_of_several_texts_about_an_object_the_last_one_counts() -> None:
    (result,) = run(scripted(), film(1), {0: [Text("the 2", 4), Text("the 1", 4)]})
    assert same(result.mask(4), area(LEFT)) and result.names == {4: "the 1"}


def test_an_object_that_is_removed_is_asked_for_no_more() -> None:
    model = scripted()
    session, frames = session_of(model, ask_interval=1), film(4)
    session.step(frames[0], [Text("the 1", 4), Text("the 2", 6)])
    session.remove(4)
    result = session.step(frames[1])
    assert result.object_ids == (6,) and same(result.mask(6), area(RIGHT)) and asked(model) == [(0, 2), (1, 1)]
    with pytest.raises(UserError, match="object 4 is not being followed"):
        session.remove(4)


def test_what_was_never_described_cannot_be_corrected() -> None:
    session = session_of(scripted())
    with pytest.raises(UserError, match="object 4 was not described"):
        session.step(film(1)[0], [Mask(4, area(LEFT))])


def test_a_refused_prompt_changes_nothing() -> None:
    session, frames = session_of(scripted()), film(3)
    session.step(frames[0], [Text("the 1", 1)])
    with pytest.raises(UserError, match="object 4 was not described"):
        session.step(frames[1], [Text("the 2", 1), Text("the 2", 2), Box(4, (8, 8, 24, 24))])
    assert session.object_ids == (1,)
    for frame in frames[1:]:
        result = session.step(frame)
        assert result.names == {1: "the 1"} and result.object_ids == (1,) and same(result.mask(1), area(LEFT))


def test_of_overlapping_expressions_the_larger_id_is_on_top() -> None:
    """Whichever comes later."""
    results = run(scripted(), film(2), {0: [Text("the 1", 9)], 1: [Text("a 1", 5)]}, ask_interval=1)
    assert results[1].object_ids == (5, 9) and set(np.unique(results[1].labels)) == {0, 9}


def test_the_order_of_expressions_does_not_matter() -> None:
    texts = [Text("the 1", 1), Text("the 2", 2), Text("the one", 3)]
    ours, theirs = (run(scripted(), film(5), {0: order}) for order in (texts, texts[::-1]))
    for a, b in zip(ours, theirs, strict=True):
        assert all((a.mask(i) == b.mask(i)).all() for i in (1, 2, 3)) and a.scores == pytest.approx(dict(b.scores))


def test_the_followers_take_the_options_of_following() -> None:
    model = scripted()
    run(model, film(8), {0: [Text("the 1")]}, token_frames=3, ask_interval=50)
    followed = [one.tokens[0] for one in model.asked if one.frames == (7,)]
    assert followed == [(0, 4, 5, 6)]


def test_a_text_is_read_as_a_rough_entry() -> None:
    """Where the words fit is where the object is said to be."""
    model = scripted()
    run(model, film(1), {0: [Text("the 1")]})
    dense, boxed = (one.request.dense for one in model.asked)
    assert boxed is not None and dense is not None and dense[0, 0, 1].min() == 1
    assert dense[0, 0, 0, 3:5, 3:5].min() > 0.99 and dense[0, 0, 0, 8:].max() < 0.01


def test_a_model_without_a_word_head_knows_no_words() -> None:
    with pytest.raises(UserError, match="the model scripted has no word head"):
        session_of(ScriptedModel()).step(film(1)[0], [Text("the 1")])


def test_a_frame_is_read_once_however_many_ask() -> None:
    """Expressions are asked together; each has a tracker of its own, and one is doubted."""
    model = scripted()
    prompts = {0: [Text("the 1"), Text("the 2"), Text("the one")], 2: [Mask(3, area(RIGHT))]}
    run(model, film(5), prompts, ask_interval=1, confidence=0.5, margin=0.05)
    assert model.word_head.seen == list(range(5)) and model.prepared == list(range(5))
