"""Which box an expression means."""

from __future__ import annotations

import torch

from univs.models.word_answers import boxes_of_texts
from univs.models.word_head import WordCells, WordHead


def test_each_text_has_the_box_that_it_fits_and_that_is_more_of_an_object() -> None:
    """Two objects of a word each; a third text fits both, but the first is more of an object."""
    head = WordHead(32, 8, 32)
    words, objectness = torch.zeros(1, 8, 4, 6), torch.full((1, 4, 6), -9.0)
    words[0, 0, :, :3], words[0, 1, :, 3:] = 1, 1
    objectness[0, 1, 1], objectness[0, 1, 4] = 2.0, 0.0
    cells = WordCells(words, objectness, torch.full((1, 4, 4, 6), 8.0))
    first, second = cells.boxes()[0, :, 1, 1], cells.boxes()[0, :, 1, 4]
    texts = torch.eye(8)[[1, 0, 0]]
    texts[2, 1] = 1
    found = boxes_of_texts(head, cells, texts, (8, 12))
    assert torch.equal(found, torch.stack([second, first, first])) and not torch.equal(first, second)
