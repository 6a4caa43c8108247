from __future__ import annotations

import torch
from torch import nn

from univs.models.unset_weights import UnsetWeights


def test_nothing_is_drawn_and_constants_are_made() -> None:
    before = torch.get_rng_state()
    with UnsetWeights():
        layers = [nn.Conv2d(3, 8, 3), nn.Linear(4, 4), nn.Embedding(5, 4), nn.MultiheadAttention(8, 2)]
        nn.init.trunc_normal_(layers[1].weight)
        nn.init.kaiming_uniform_(tensor=layers[1].weight)
        torch.empty(3).uniform_()
        places = torch.linspace(0, 1, 3)
    assert torch.equal(torch.get_rng_state(), before)
    assert places.tolist() == [0, 0.5, 1]
    nn.Linear(4, 4)
    assert not torch.equal(torch.get_rng_state(), before)  # outside of it all is as ever


def test_draws_that_are_repeated_until_they_fit_come_to_an_end() -> None:
    """Whatever the memory holds: truncated draws look at what was drawn."""
    weights = torch.full((50, 50), 1e30)
    with UnsetWeights():
        nn.init.trunc_normal_(weights, std=0.02)
    assert weights.abs().max() <= 2
