"""Things over a map of stuff, with a model whose answers the test writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.trackers.scripted import Rectangle, ScriptedModel, ScriptedWords, Sight, area, cells, picture
from univs.errors import UserError
from univs.prompts import Categories
from univs.results import FrameResult
from univs.streaming import Session

CATS = Categories(("cat 1", "sky 3", "dog 2", "sea 4"), frozenset({0, 2}))
SKY, SEA, CAT, DOG = (0, 0, 32, 96), (32, 0, 64, 96), (24, 8, 48, 24), (40, 48, 56, 80)


def world(
    index: int, *, cat: Rectangle | None = CAT, dog: Rectangle | None = DOG, sea: bool = True
) -> NDArray[np.uint8]:
    """Sky (3) over sea (4), before them a cat (1) and a dog (2)."""
    places = {3: SKY} | ({4: SEA} if sea else {}) | ({1: cat} if cat else {}) | ({2: dog} if dog else {})
    return picture(index, places)


def session_of(model: ScriptedModel, **options: Any) -> Session:
    options = {"categories": CATS, "text_encoder": ScriptedWords(), "class_score": 0.5, **options}
    return Session(model, "vps", keep_results=False, **options)


def run(model: ScriptedModel, frames: Sequence[NDArray[np.uint8]], **options: Any) -> list[FrameResult]:
    with session_of(model, **options) as session:
        return [session.step(frame) for frame in frames] + session.flush()


def numbers(result: FrameResult) -> dict[str, int]:
    return {name: number for number, name in result.names.items()}


def same(mask: NDArray[Any], wanted: NDArray[Any], differ: int = 24) -> bool:
    return bool(np.logical_xor(mask, wanted).sum() <= differ)


@pytest.mark.parametrize("words", [False, True])
def test_every_segment_is_where_it_is_and_keeps_its_number(words: bool) -> None:
    frames = [world(i, cat=(24, 8 + 4 * i, 48, 24 + 4 * i)) for i in range(5)]
    results = run(ScriptedModel(words=words), frames)
    first = numbers(results[0])
    assert set(first) == {"sea 4", "cat 1", "dog 2", "sky 3"} and sorted(first.values()) == [1, 2, 3, 4]
    for frame, result in zip(frames, results, strict=True):
        assert numbers(result) == first and set(result.object_ids) == set(first.values())
        assert result.stuff == {first["sky 3"], first["sea 4"]}
        for name, number in first.items():
            wanted = frame[..., 0] == int(name[-1])
            # cells of 8 pixels name what lies behind, so that stuff ends a few pixels beside its edge
            assert same(result.labels == number, wanted, 24 if name[-1] in "12" or not words else 400)
        assert result.scores[first["sky 3"]] == 1 and result.scores[first["cat 1"]] > 0.99


def test_things_lie_over_stuff() -> None:
    """A thing is followed where the picture shows nothing but sky."""
    model = ScriptedModel()
    model.answers[1, 1] = cells((8, 40, 24, 64))
    _, result = run(model, [world(0), world(1, cat=None)])
    number = numbers(result)
    assert same(result.labels == number["cat 1"], area((8, 40, 24, 64)))
    assert same((result.labels == number["sky 3"]), area(SKY) & ~area((8, 40, 24, 64)))


def test_what_looks_like_a_thing_that_nobody_follows_is_nothing() -> None:
    model = ScriptedModel()
    (result,) = run(model, [world(0)], most=1)
    assert set(result.names.values()) == {"sea 4", "sky 3", *({"cat 1", "dog 2"} & set(result.names.values()))}
    (left_out,) = {"cat 1", "dog 2"} - set(result.names.values())
    place = CAT if left_out == "cat 1" else DOG
    assert (result.labels[area(place)] == 0).mean() > 0.9


def test_stuff_that_comes_back_has_its_number_and_a_thing_a_new_one() -> None:
    frames = [world(i, sea=i not in (1, 2), dog=DOG if i in (0, 5) else None) for i in range(6)]
    results = run(ScriptedModel(), frames, lost_after=1)
    first = numbers(results[0])
    assert first["sea 4"] not in results[1].object_ids and first["sea 4"] not in results[2].stuff
    assert numbers(results[3])["sea 4"] == first["sea 4"]
    assert [first["dog 2"] in result.object_ids for result in results] == [True, True, True, False, False, False]
    assert [result.scores.get(first["dog 2"], 0) > 0.5 for result in results] == [True] + [False] * 5
    assert numbers(results[5])["dog 2"] == 5  # numbers are never used again
    assert same(results[5].labels == 5, area(DOG))


def test_things_are_named_by_their_best_class_so_far() -> None:
    model = ScriptedModel()
    logits = torch.logit(torch.tensor([[0.6, 0.01, 0.1, 0.01], [0.1, 0.01, 0.8, 0.01]]))
    model.sights = {index: [Sight(cells(CAT), logits[index])] for index in range(2)}
    first, second = run(model, [world(0), world(1)])
    assert list(first.names.values()) == ["cat 1"] and list(second.names.values()) == ["dog 2"]
    assert first.object_ids == second.object_ids == (1,) and not second.stuff


def test_it_looks_on_every_frame() -> None:
    model = ScriptedModel()
    frames = [world(0, cat=None), world(1), world(2)]
    results = run(model, frames)
    assert [one.frames[0] for one in model.asked if one.request.learnable] == [0, 1, 2]
    assert ["cat 1" in result.names.values() for result in results] == [False, True, True]


def test_the_margin_is_nobodys() -> None:
    size = (60, 84)
    frame = picture(0, {3: SKY, 4: SEA, 1: CAT}, size)
    for words in (False, True):
        (result,) = run(ScriptedModel(words=words), [frame])
        assert result.labels.shape == size
        assert same(result.labels == numbers(result)["cat 1"], area(CAT, size))


def test_a_removed_thing_is_gone_and_found_anew() -> None:
    session = session_of(ScriptedModel())
    first = session.step(world(0))
    cat = numbers(first)["cat 1"]
    assert set(session.object_ids) == set(first.object_ids)
    for name in ("sky 3", "sea 4"):  # sky is the class of the number that the first thing has
        with pytest.raises(UserError, match="stands for a class of pixels"):
            session.remove(numbers(first)[name])
    session.remove(cat)
    assert cat not in session.object_ids
    later = session.step(world(1))
    assert cat not in later.object_ids and numbers(later)["cat 1"] == 5
    assert same(later.labels == 5, area(CAT)) and same(later.labels == numbers(first)["dog 2"], area(DOG))


def test_frames_that_come_later_change_nothing() -> None:
    frames = [world(i, dog=DOG if i < 3 else None) for i in range(5)]
    whole = run(ScriptedModel(), frames)
    for ours, theirs in zip(run(ScriptedModel(), frames[:2]), whole, strict=False):
        assert (ours.labels == theirs.labels).all() and ours.names == theirs.names
