"""Prompts as rough maps."""

from __future__ import annotations

import torch

from univs.models.prompt_maps import box_maps, point_maps, stroke_maps


def test_a_box_speaks_for_every_cell() -> None:
    maps = box_maps(torch.tensor([[8.0, 4.0, 20.0, 12.0], [0.0, 0.0, 0.0, 0.0]]), (5, 8))
    assert maps[0, 0].nonzero().tolist() == [[row, column] for row in (1, 2) for column in (2, 3, 4)]
    torch.testing.assert_close(maps.sum(1), torch.ones(2, 5, 8))
    assert maps[1, 0].sum() == 0


def test_clicks_are_discs_of_their_sign() -> None:
    points = torch.tensor([[[18.0, 18.0], [50.0, 18.0], [0.0, 0.0]]])
    maps = point_maps(points, torch.tensor([[1, 0, -1]]), (10, 16))
    positive, negative = maps[0]
    assert bool(positive[4, 4]) and bool(positive[4, 6]) and not bool(positive[4, 7])  # within 8 pixels of the click
    assert bool(negative[4, 12]) and not bool(positive[4, 12])
    assert not bool(maps[0, :, 0, 0].any())  # padding says nothing


def test_a_thin_stroke_survives() -> None:
    stroke = torch.zeros(1, 16, 16)
    stroke[0, 5, 3] = 1
    maps = stroke_maps(stroke)
    assert maps[0, 0].nonzero().tolist() == [[1, 0]] and maps[0, 1].sum() == 0
