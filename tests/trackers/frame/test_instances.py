"""What is found becomes an object and stays one: with a model whose detections the test writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.trackers.frame.looking import looks_closer
from tests.trackers.scripted import SURE, Rectangle, ScriptedModel, ScriptedWords, Sight, area, cells, colour, picture
from univs.prompts import Categories
from univs.results import FrameResult
from univs.streaming import Session
from univs.trackers.frame.instances import InstanceTracker

CATS = Categories(("cat 1", "dog 2", "sky 3"), frozenset({0, 1}))
LEFT, RIGHT = (8, 8, 24, 24), (32, 48, 56, 80)


def logit(*probabilities: float) -> Tensor:
    return torch.logit(torch.tensor(probabilities), eps=1e-6)


def sight(rectangle: Rectangle, *scores: float) -> Sight:
    """A sure mask (quality 1) with these scores of cat, dog and sky."""
    return Sight(cells(rectangle), logit(*scores))


def film(count: int, *places: Rectangle) -> list[NDArray[np.uint8]]:
    """Objects of the colours 1, 2, ... that stay where they are."""
    return [picture(index, dict(enumerate(places, start=1))) for index in range(count)]


def session_of(model: ScriptedModel, **options: Any) -> Session:
    options = {"categories": CATS, "text_encoder": ScriptedWords(), **options}
    return Session(model, "vis", keep_results=False, **options)


def run(model: ScriptedModel, frames: Sequence[NDArray[np.uint8]], **options: Any) -> list[FrameResult]:
    with session_of(model, **options) as session:
        return [session.step(frame) for frame in frames] + session.flush()


def ids(results: Sequence[FrameResult]) -> list[tuple[int, ...]]:
    return [result.object_ids for result in results]


def same(mask: NDArray[Any], wanted: NDArray[Any], differ: int = 8) -> bool:
    return bool(np.logical_xor(mask, wanted).sum() <= differ)


def looked(model: ScriptedModel) -> list[int]:
    """The frames on which somebody looked for something new."""
    return [asked.frames[0] for asked in model.asked if asked.request.learnable]


def test_what_is_found_starts_with_its_mask_and_is_followed_under_its_number() -> None:
    model = ScriptedModel()
    frames = [picture(i, {1: (8, 8 + 4 * i, 24, 24 + 4 * i), 2: (32, 48 - 4 * i, 56, 80 - 4 * i)}) for i in range(5)]
    model.sights[0] = [sight(LEFT, 0.9, 0.1, 0.1), sight(RIGHT, 0.1, 0.8, 0.1)]
    results = run(model, frames, detect_interval=2)
    assert ids(results) == [(1, 2)] * 5 and looked(model) == [0, 2, 4]
    for frame, result in zip(frames, results, strict=True):
        assert result.separate is not None
        for number in (1, 2):
            assert same(result.labels == number, frame[..., 0] == number)
            assert (result.separate[number] == (result.labels == number)).all()
        assert result.names == {1: "cat 1", 2: "dog 2"}
    assert results[0].scores == {1: 1.0, 2: 1.0} and results[1].scores[1] < 1


@pytest.mark.parametrize("swapped", [False, True])
def test_a_detection_of_a_known_object_adds_to_its_scores(swapped: bool) -> None:
    """Each object gets what was seen of it, in whatever order: sums over looks, divided by them."""
    model = ScriptedModel()
    model.sights[0] = [sight(LEFT, 0.9, 0.1, 0.1), sight(RIGHT, 0.2, 0.6, 0.1)]
    again = [sight(LEFT, 0.2, 0.85, 0.1), sight(RIGHT, 0.7, 0.4, 0.1)]
    model.sights[2] = again[::-1] if swapped else again
    model.sights[4] = [sight(LEFT, 0.1, 0.55, 0.1)]
    results = run(model, film(5, LEFT, RIGHT), detect_interval=2)
    assert ids(results) == [(1, 2)] * 5
    wanted = [
        ({1: "cat 1", 2: "dog 2"}, {1: 0.9, 2: 0.6}),
        ({1: "cat 1", 2: "dog 2"}, {1: 1.1 / 2, 2: 1.0 / 2}),
        ({1: "dog 2", 2: "dog 2"}, {1: 1.5 / 3, 2: 1.0 / 2}),
    ]
    for index, (names, scores) in zip((0, 2, 4), wanted, strict=True):
        assert results[index].names == names
        assert results[index].track_scores == pytest.approx(scores, abs=1e-3)
    assert results[3].track_scores == results[2].track_scores


def test_scores_are_class_scores_times_the_quality_of_the_mask() -> None:
    model = ScriptedModel()
    unsure = cells(LEFT)
    unsure[4:6, 2:6] = 0.5  # half of the mask is not sure
    model.sights[0] = [Sight(unsure, logit(0.8, 0.1, 0.1))]
    (result,) = run(model, film(1, LEFT), stability=0.4)
    assert result.track_scores[1] == pytest.approx(0.4, abs=1e-3)
    assert ids(run(model, film(1, LEFT), stability=0.6)) == [()]
    assert ids(run(model, film(1, LEFT), stability=0.4, class_score=0.41)) == [()]
    assert ids(run(model, film(1, LEFT), stability=0.4, class_score=0.39)) == [(1,)]


def test_two_detections_of_one_thing_are_one_object_the_better_one() -> None:
    model = ScriptedModel()
    shifted = (8, 12, 24, 28)  # box overlap 11 * 15 over 19 * 15
    model.sights[0] = [sight(shifted, 0.6, 0.1, 0.1), sight(LEFT, 0.9, 0.1, 0.1)]
    (result,) = run(model, film(1, LEFT), box_overlap=0.5)
    assert result.object_ids == (1,) and same(result.labels == 1, area(LEFT))
    model.sights[0] = [sight(shifted, 0.9, 0.1, 0.1), sight(LEFT, 0.6, 0.1, 0.1)]
    (result,) = run(model, film(1, LEFT), box_overlap=0.5)
    assert result.object_ids == (1,) and same(result.labels == 1, area(shifted))


def test_two_detections_that_hardly_meet_are_two_objects() -> None:
    model = ScriptedModel()
    model.sights[0] = [sight((8, 8, 24, 24), 0.6, 0.1, 0.1), sight((8, 20, 24, 36), 0.9, 0.1, 0.1)]
    (result,) = run(model, film(1), box_overlap=0.5)
    assert result.object_ids == (1, 2)
    assert result.track_scores == pytest.approx({1: 0.9, 2: 0.6}, abs=1e-3)  # the better one first


@pytest.mark.parametrize(
    ("columns", "share", "found"), [(2, 0.5, True), (3, 0.5, False), (3, 0.8, True), (1, 0.2, False)]
)
def test_a_new_object_lies_mostly_apart_from_what_is_known(columns: int, share: float, found: bool) -> None:
    """Of its four columns of cells so many lie on a known object; the same on one that was found on the same frame."""
    left = 24 - 4 * columns
    overlapping = sight((8, left, 24, left + 16), 0.1, 0.6, 0.1)
    later, at_once = ScriptedModel(), ScriptedModel()
    known = [sight(LEFT, 0.9, 0.1, 0.1), sight(RIGHT, 0.1, 0.8, 0.1)]
    later.sights = {0: known, 1: [*known, overlapping]}
    at_once.sights[0] = [*known, overlapping]
    options = {"detect_interval": 1, "new_share": share, "box_overlap": 0.99}
    assert len(run(later, film(2, LEFT, RIGHT), **options)[1].object_ids) == 2 + found
    assert len(run(at_once, film(1, LEFT, RIGHT), **options)[0].object_ids) == 2 + found


def test_what_is_new_is_compared_with_where_everybody_was_on_the_frame_before() -> None:
    model = ScriptedModel()
    frames = [picture(i, {1: LEFT if i < 2 else (8, 56, 24, 72)}) for i in range(4)]
    model.sights = {0: [sight(LEFT, 0.9, 0.1, 0.1)], 3: [sight(LEFT, 0.1, 0.9, 0.1)]}
    results = run(model, frames, detect_interval=3, lost_after=50)
    assert ids(results) == [(1,)] * 3 + [(1, 2)]  # the first one has left that place


@pytest.mark.parametrize(("match", "kept"), [(0.3, True), (0.4, False)])
def test_how_much_a_detection_must_overlap_an_object_to_be_it(match: float, kept: bool) -> None:
    """Two of four columns in common: a third."""
    model = ScriptedModel()
    model.sights = {0: [sight(LEFT, 0.9, 0.1, 0.1)], 1: [sight((8, 16, 24, 32), 0.1, 0.7, 0.1)]}
    _, result = run(model, film(2, LEFT), detect_interval=1, match=match, new_share=0.1)
    assert result.object_ids == (1,)
    assert result.track_scores[1] == pytest.approx(0.5 if kept else 0.9, abs=1e-3)


def test_what_is_matched_is_nothing_new_and_needs_no_score() -> None:
    model = ScriptedModel()
    model.sights = {0: [sight(LEFT, 0.9, 0.1, 0.1)], 1: [sight(LEFT, 0.05, 0.01, 0.01)]}
    _, result = run(model, film(2, LEFT), detect_interval=1, class_score=0.5, new_share=1.0)
    assert result.object_ids == (1,) and result.track_scores[1] == pytest.approx(0.475, abs=1e-3)
    model.sights[1] = [sight(LEFT, 0.9, 0.01, 0.01)]
    assert run(model, film(2, LEFT), detect_interval=1, new_share=1.0)[1].object_ids == (1,)


def test_one_object_has_one_detection() -> None:
    """Both detections overlap the object; one of them is it, the better match, and the other one is new."""
    model = ScriptedModel()
    near = sight((8, 12, 24, 28), 0.9, 0.1, 0.1)
    model.sights = {0: [sight(LEFT, 0.5, 0.1, 0.1)], 1: [near, sight(LEFT, 0.7, 0.1, 0.1)]}
    _, result = run(model, film(2, LEFT), detect_interval=1, new_share=0.8, box_overlap=0.9)
    assert result.object_ids == (1, 2)
    assert result.track_scores == pytest.approx({1: 0.6, 2: 0.9}, abs=1e-3)


@pytest.mark.parametrize(("score", "found"), [(0.29, False), (0.31, True)])
def test_a_new_object_needs_a_class_score(score: float, found: bool) -> None:
    model = ScriptedModel()
    model.sights[0] = [sight(LEFT, 0.1, score, 0.0)]
    (result,) = run(model, film(1), class_score=0.3)
    assert result.object_ids == ((1,) if found else ())


def test_nothing_that_passes_the_filter_is_sorted_where_the_masks_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    sort, model = InstanceTracker._sort, ScriptedModel()

    def elsewhere(*given: Any) -> dict[int, NDArray[np.bool_]]:
        with torch.device("meta"):  # where tensors come to lie that are made without a word on it
            return sort(*given)

    monkeypatch.setattr(InstanceTracker, "_sort", elsewhere)
    model.sights[0] = [Sight(cells(LEFT, 0.1, 0.1), logit(0.9, 0.1, 0.1))]  # as unstable as masks can be
    assert ids(run(model, film(1))) == [()] and looked(model) == [0]


@pytest.mark.parametrize(("place", "found"), [((8, 8, 12, 40), True), ((8, 8, 12, 36), False), ((8, 8, 40, 12), True)])
def test_a_new_object_has_eight_cells(place: Rectangle, found: bool) -> None:
    model = ScriptedModel()
    model.sights[0] = [sight(place, 0.9, 0.1, 0.1)]
    assert bool(run(model, film(1))[0].object_ids) == found


def test_stuff_is_not_followed() -> None:
    model = ScriptedModel()
    model.sights[0] = [sight(LEFT, 0.3, 0.2, 0.9), sight(RIGHT, 0.3, 0.9, 0.8)]
    (result,) = run(model, film(1))
    assert result.object_ids == (1,) and result.names == {1: "dog 2"} and same(result.labels == 1, area(RIGHT))


def test_so_many_objects_at_a_time_and_no_more() -> None:
    model = ScriptedModel()
    places = [(8, left, 24, left + 16) for left in (0, 20, 40, 60)]
    model.sights[0] = [sight(place, 0.5 + 0.1 * n, 0.1, 0.1) for n, place in enumerate(places)]
    model.sights[2] = model.sights[0]
    frames = [picture(i, {n: place for n, place in enumerate(places, start=1) if i < 1 or n != 4}) for i in range(3)]
    results = run(model, frames, most=2, detect_interval=2, lost_after=0)
    assert ids(results) == [(1, 2), (1, 2), (2, 3)]
    assert same(results[0].labels == 1, area(places[3])) and same(results[0].labels == 2, area(places[2]))
    assert same(results[2].labels == 3, area(places[3]))  # one was lost, and another one found


def test_those_that_are_followed_count_though_they_are_not_found_again() -> None:
    model = ScriptedModel()
    model.sights[0] = [sight(LEFT, 0.9, 0.1, 0.1), sight(RIGHT, 0.1, 0.8, 0.1)]
    model.sights[1] = [sight((8, 40, 24, 60), 0.9, 0.1, 0.1), sight((8, 70, 24, 90), 0.1, 0.8, 0.1)]
    assert ids(run(model, film(2, LEFT, RIGHT), most=2, detect_interval=1)) == [(1, 2)] * 2
    assert ids(run(model, film(2, LEFT, RIGHT), most=3, detect_interval=1)) == [(1, 2), (1, 2, 3)]


def test_what_has_no_pixel_at_full_size_is_not_found() -> None:
    """Single cells with sure neighbours of the other mind vanish when the map is enlarged."""
    model, dots = ScriptedModel(), torch.full((16, 24), -SURE)
    dots[2:10:2, 2:10:2] = 1.5
    model.sights[0] = [Sight(dots, logit(0.9, 0.1, 0.1))]
    assert ids(run(model, film(1))) == [()]


def test_who_is_out_of_sight_for_long_is_given_up() -> None:
    """Nobody looks, so nobody misses it; it is unseen."""
    model = ScriptedModel()
    model.sights[0] = [sight(LEFT, 0.9, 0.1, 0.1)]
    frames = [picture(i, {1: LEFT} if i < 2 or i == 4 else {}) for i in range(10)]
    results = run(model, frames, detect_interval=50, lost_after=2)
    # unseen on 2 and 3, seen on 4, unseen on 5, 6 and 7: on the third frame in a row it is given up
    assert ids(results) == [(1,)] * 8 + [()] * 2
    assert [bool(result.scores.get(1)) for result in results] == [index in (0, 1, 4) for index in range(10)]


def test_who_is_not_recognised_for_long_is_given_up_though_it_is_seen() -> None:
    model = ScriptedModel()
    model.sights.update({index: [] for index in range(0, 30, 2)})
    model.sights[0] = model.sights[6] = [sight(LEFT, 0.9, 0.1, 0.1)]
    results = run(model, film(16, LEFT), detect_interval=2, lost_after=2)
    # not found on 2 and 4, found on 6, not found on 8, 10 and 12: after the third look in a row it is given up
    assert ids(results) == [(1,)] * 13 + [()] * 3
    assert all(result.scores[1] > 0.9 for result in results[:13])


def test_looks_and_frames_are_counted_apart() -> None:
    """Two frames out of sight and two looks in vain are not three of either."""
    model = ScriptedModel()
    model.sights = {index: [] for index in range(1, 9)}
    model.sights[0] = [sight(LEFT, 0.9, 0.1, 0.1)]
    model.sights[4] = [sight(LEFT, 0.9, 0.1, 0.1)]
    frames = [picture(i, {1: LEFT} if i != 2 else {}) for i in range(6)]
    results = run(model, frames, detect_interval=2, lost_after=1)
    assert ids(results) == [(1,)] * 6


def test_a_lost_object_that_comes_back_is_a_new_one() -> None:
    model = ScriptedModel()
    frames = [picture(i, {1: LEFT} if i in (0, 5, 6) else {}) for i in range(7)]
    results = run(model, frames, detect_interval=5, lost_after=1)
    assert ids(results) == [(1,), (1,), (1,), (), (), (2,), (2,)]
    assert results[6].names == {2: "cat 1"} and same(results[6].labels == 2, area(LEFT))


def test_what_is_removed_is_found_again_under_another_number() -> None:
    session, frames = session_of(ScriptedModel(), detect_interval=2), film(6, LEFT, RIGHT)
    results = [session.step(frame) for frame in frames[:3]]
    session.remove(1)
    results += [session.step(frame) for frame in frames[3:]]
    assert ids(results) == [(1, 2)] * 3 + [(2,)] + [(2, 3)] * 2
    assert same(results[3].labels == 2, area(RIGHT)) and same(results[5].labels == 3, area(LEFT))
    assert results[5].names == {2: "dog 2", 3: "cat 1"}


def test_what_appears_is_found_at_the_next_look() -> None:
    model = ScriptedModel()
    frames = [picture(i, {1: LEFT, **({2: RIGHT} if i >= 2 else {})}) for i in range(7)]
    results = run(model, frames, detect_interval=3)
    assert ids(results) == [(1,)] * 3 + [(1, 2)] * 4 and looked(model) == [0, 3, 6]


def test_the_margin_is_nobodys() -> None:
    """Frames of 60 x 84: cells from row 15 and column 21 on are padding."""
    model, size = ScriptedModel(), (60, 84)
    below = cells((56, 0, 64, 32))  # half of it, 8 cells, inside
    right = cells((8, 76, 24, 92))  # half of it, 8 cells, inside
    beyond = cells((0, 84, 64, 96))
    less = cells((56, 36, 64, 64))  # 7 cells inside
    scores = (0.9, 0.85, 0.8, 0.7)
    seen = zip((below, right, beyond, less), scores, strict=True)
    model.sights[0] = [Sight(logits, logit(score, 0.1, 0.1)) for logits, score in seen]
    frames = [picture(i, {1: (56, 0, 60, 32), 2: (8, 76, 24, 84)}, size) for i in range(2)]
    model.sights[1] = [Sight(below, logit(0.5, 0.1, 0.1)), Sight(right, logit(0.45, 0.1, 0.1))]
    results = run(model, frames, detect_interval=1, match=0.9)
    assert ids(results) == [(1, 2)] * 2
    assert same(results[0].labels == 1, area((56, 0, 60, 32), size))
    assert same(results[0].labels == 2, area((8, 76, 24, 84), size))
    # recognised: the margin does not count
    assert results[1].track_scores == pytest.approx({1: 0.7, 2: 0.65}, abs=1e-3)


def test_new_objects_are_taken_by_score_not_by_place() -> None:
    model = ScriptedModel()
    model.sights[0] = [sight(LEFT, 0.4, 0.1, 0.1), sight(RIGHT, 0.1, 0.8, 0.1)]
    (result,) = run(model, film(1), most=1)
    assert result.object_ids == (1,) and result.names == {1: "dog 2"}


def test_where_followed_objects_meet_one_of_them_has_the_pixel() -> None:
    model = ScriptedModel()
    model.sights[0] = [sight(LEFT, 0.9, 0.1, 0.1), sight(RIGHT, 0.1, 0.8, 0.1)]
    model.answers[1, 1], model.answers[1, 2] = cells((0, 0, 64, 48), 3.0), cells((0, 24, 64, 96), 6.0)
    _, result = run(model, film(2, LEFT, RIGHT))
    assert result.separate is not None and not (result.separate[1] & result.separate[2]).any()
    assert (result.labels[:, 28:92] == 2).all() and (result.labels[:, 2:20] == 1).all()


def test_a_word_head_finds_boxes_and_names_what_is_in_them() -> None:
    model, frames = ScriptedModel(words=True), film(4, LEFT, RIGHT, (0, 0, 4, 96))
    results = run(model, frames, detect_interval=3, class_score=0.5)
    assert ids(results) == [(1, 2)] * 4 and results[0].names == {1: "cat 1", 2: "dog 2"}
    wanted = 1 / (1 + math.exp(-4)) / (1 + math.exp(-10))  # objectness times the fit of the name
    assert results[0].track_scores == pytest.approx({1: wanted, 2: wanted}, abs=1e-3)
    assert not looked(model)
    assert same(results[3].labels == 1, area(LEFT)) and same(results[3].labels == 2, area(RIGHT))


@pytest.mark.parametrize(("objectness", "found"), [(0.0, False), (0.6, True)])
def test_a_word_head_must_see_an_object_well(objectness: float, found: bool) -> None:
    """sigmoid(0) = 0.5, sigmoid(0.6) = 0.65."""
    model = ScriptedModel(words=True)
    model.word_head.boxes[0] = [(LEFT, objectness)]
    (result,) = run(model, film(1, LEFT), class_score=0.55)
    assert bool(result.object_ids) == found


def test_names_that_fit_less_well_score_less() -> None:
    meanings = {"cat": 0.6 * colour(1) + 0.8 * colour(4), "dog": 0.55 * colour(1) + 0.83 * colour(5)}
    model = ScriptedModel(words=True)
    options = {"categories": Categories(("dog", "cat")), "text_encoder": ScriptedWords(meanings), "class_score": 0.5}
    (result,) = run(model, film(1, LEFT), **options)
    assert result.names == {1: "cat"}
    wanted = 1 / (1 + math.exp(-4)) / (1 + math.exp(10 - 20 * 0.6))
    assert result.track_scores[1] == pytest.approx(wanted, abs=2e-2)


def test_who_is_seen_first_does_not_matter() -> None:
    runs = []
    for turned in (False, True):
        model = ScriptedModel()
        first = [sight(LEFT, 0.7, 0.1, 0.1), sight(RIGHT, 0.1, 0.8, 0.1)]
        model.sights[0] = first[::-1] if turned else first
        runs.append(run(model, film(4, LEFT, RIGHT), detect_interval=2))
    for ours, theirs in zip(*runs, strict=True):
        assert (ours.labels == theirs.labels).all() and ours.track_scores == theirs.track_scores


def test_an_unsure_detection_still_starts_with_its_mask_at_full_size() -> None:
    model = ScriptedModel()
    model.sights[0] = [Sight(cells(LEFT, 2.0, -SURE), logit(0.9, 0.1, 0.1))]  # weaker inside: the edge moves inward
    (result,) = run(model, film(1))
    mask = result.labels == 1
    assert mask.sum() < 256 and mask[10:22, 10:22].all() and not mask[:8].any()


def test_new_objects_start_with_what_a_closer_look_shows() -> None:
    model = looks_closer(ScriptedModel())
    frame = picture(0, {1: (10, 10, 22, 22), 2: RIGHT})
    rough = sight((8, 8, 20, 20), 0.9, 0.1, 0.1)
    model.sights[0] = [rough, sight(RIGHT, 0.1, 0.8, 0.1)]
    first, second = run(model, [frame, frame], detect_interval=5)
    assert same(first.labels == 1, frame[..., 0] == 1) and same(first.labels == 2, area(RIGHT), 160)
    assert second.object_ids == (1, 2)
    assert [len(squares) for squares, _ in model.squares] == [2]  # type: ignore[union-attr]
    plain = looks_closer(ScriptedModel())
    plain.sights[0] = [rough]
    (result,) = run(plain, [frame], closer_look=False)
    assert same(result.labels == 1, area((8, 8, 20, 20))) and not plain.squares  # type: ignore[truthy-bool]
