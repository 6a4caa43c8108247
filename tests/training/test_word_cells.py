"""What the step of words knows of the cells of an image: boxes of objects, names, and where no thing is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.word_batch import NAMES, Letters, batch
from univs.formats.sample import NO_CLASS
from univs.models.univs import UniVS
from univs.models.word_head import WordCells
from univs.training import word_step
from univs.training.word_step import WordLosses, WordStep


@pytest.fixture
def model(small_word_model: UniVS) -> UniVS:
    return small_word_model


class Cells:
    """What the losses are handed by the step, caught on the way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.given: list[Any] = []
        plain = getattr(word_step, name)

        def caught(*given: Any) -> Any:
            self.given = list(given)
            return plain(*given)

        monkeypatch.setattr(word_step, name, caught)


def test_boxes_of_objects_and_where_none_is(model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell beside unknown pixels is not known; where not every object is labelled, only cells of objects are."""
    given, caught = batch(), Cells(monkeypatch, "box_losses")
    given["objects"][:, 60:, 60:] = 255
    WordStep(model, Letters(), NAMES, WordLosses(points=16))(given, 1.0)
    boxes, known, stride, _ = caught.given[2:]
    assert [b.tolist() for b in boxes] == [[[8, 8, 56, 30], [20, 36, 40, 60]], [[10, 30, 50, 60]]] and stride == 8
    blocks = given["objects"].unflatten(2, (8, 8)).unflatten(1, (8, 8)).transpose(2, 3).flatten(3)
    assert torch.equal(known[0], (blocks[0] != 255).all(2))
    assert torch.equal(known[1], (blocks[1] != 255).all(2) & (blocks[1] != 0).any(2))


def test_objects_are_named_in_the_vocabulary_of_their_image(model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    given, caught = batch(), Cells(monkeypatch, "name_losses")
    given["vocabulary"][1, 2] = False
    assert model.word_head is not None
    scored: list[Tensor] = []
    plain = model.word_head.score_masks
    monkeypatch.setattr(model.word_head, "score_masks", lambda c, m, e: scored.append(m) or plain(c, m, e))
    step = WordStep(model, Letters(), NAMES, WordLosses(points=16))
    step(given, 1.0)
    logits, names, vocabulary, _ = caught.given
    assert names.tolist() == [0, 1, 1] and vocabulary.tolist() == [[True] * 3, [True] * 3, [True, True, False]]
    want = (given["objects"][0] == 2).float().unflatten(1, (8, 8)).unflatten(0, (8, 8)).mean((1, 3))
    assert torch.equal(scored[0][0, 1], want) and not scored[0][1, 1].any() and logits.shape == (3, 3)
    given["object_ids"][:] = 0
    assert float(step(given, 1.0)["names"].detach()) == 0


def test_cells_are_known_by_name_or_as_no_thing(model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a loop over images, names and cells."""
    given, caught = batch(), Cells(monkeypatch, "cell_losses")
    given["objects"][:, 60:, 60:] = 255
    given["vocabulary"][1, 0] = False
    step = WordStep(model, Letters(), NAMES, WordLosses(points=16))
    step(given, 1.0)
    _, shares, known, _ = caught.given
    assert shares.shape == known.shape == (2, 3, 8, 8)
    for b, y, x in torch.cartesian_prod(torch.arange(2), torch.arange(8), torch.arange(8)).tolist():
        at = np.s_[b, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8]
        classes, objects = given["classes"][at], given["objects"][at]
        named = float((classes != NO_CLASS).float().mean())
        for k in range(3):
            assert float(shares[b, k, y, x]) == pytest.approx(float((classes == k).float().mean()), abs=1e-6)
            thing = bool(given["complete"][b]) and not bool(given["stuff"][b, k]) and not bool((objects == 255).any())
            assert bool(known[b, k, y, x]) == (bool(given["vocabulary"][b, k]) and (named > 0.9 or thing))


def test_some_of_the_other_names_take_part_in_cells(model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (*NAMES, *(f"wug{i}" for i in range(9)))
    given, caught = batch(), Cells(monkeypatch, "cell_losses")
    given["vocabulary"] = torch.ones(2, 12, dtype=torch.bool)
    given["vocabulary"][:, 11] = False
    given["stuff"] = torch.zeros(2, 12, dtype=torch.bool)
    step = WordStep(model, Letters(), names, WordLosses(points=16, other_names=4))
    embedded: list[Tensor] = []
    assert model.word_head is not None
    plain = model.word_head.score_cells

    def score_cells(cells: WordCells, texts: Tensor) -> Tensor:
        embedded.append(texts)
        return plain(cells, texts)

    monkeypatch.setattr(model.word_head, "score_cells", score_cells)
    seen = set()
    for _ in range(12):
        embedded.clear()
        step(given, 1.0)
        assert caught.given[1].shape[1] == 7, "three that are there and four others"
        rows = [(step.embeddings == row).all(1).nonzero()[0, 0].item() for row in embedded[0]]
        assert rows[:3] == [0, 1, 2]
        seen |= set(rows[3:])
        assert not caught.given[1][:, 3:].any()
    assert seen == set(range(3, 11)), "those of a vocabulary, at random"
