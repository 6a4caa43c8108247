"""The classes that are asked for."""

from __future__ import annotations

import pytest
import torch

from tests.trackers.scripted import COLOURS, ScriptedModel, ScriptedWords, colour
from univs.errors import UserError
from univs.prompts import Categories
from univs.trackers.classes import EVERYTHING, THINGS, Classes, Words, classes_of


def test_things_are_given_by_their_place() -> None:
    assert Classes.of(("a", "b", "c"), torch.zeros(3, 2), {1}).things.tolist() == [False, True, False]
    assert Classes.of(("a", "b"), torch.zeros(2, 2)).things.tolist() == [True, True]
    assert Classes.of(("a", "b"), torch.zeros(2, 2), frozenset()).things.tolist() == [False, False]


def test_if_nobody_says_it_is_the_things_of_coco_or_all_of_it() -> None:
    assert len(THINGS.names) == 80 and THINGS.things is None
    assert len(EVERYTHING.names) == 133 and EVERYTHING.things == set(range(80))


def test_embeddings_are_those_given_or_those_of_the_encoder() -> None:
    model, categories = ScriptedModel(), Categories(("cat 1", "dog 2"), frozenset({0}))
    made = classes_of(model, categories, Words(text_encoder=ScriptedWords()))
    assert torch.equal(made.embeddings, torch.stack([colour(1), colour(2)]))
    assert made.names == ("cat 1", "dog 2") and made.things.tolist() == [True, False]
    given = torch.randn(2, COLOURS, generator=torch.manual_seed(0))
    assert torch.equal(classes_of(model, categories, Words(given, ScriptedWords())).embeddings, given)


@pytest.mark.parametrize("shape", [(3, COLOURS), (2, COLOURS + 1)])
def test_embeddings_must_fit_the_categories_and_the_model(shape: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=f"2 categories need embeddings 2 x {COLOURS}, not {shape[0]} x {shape[1]}"):
        classes_of(ScriptedModel(), Categories(("a", "b")), Words(torch.zeros(shape)))


def test_a_model_without_words_says_so() -> None:
    with pytest.raises(UserError, match="the model scripted takes no words"):
        classes_of(ScriptedModel(), Categories(("a", "b")), Words())
