"""Losses of slots against loops over pixels and over all orders. (Official figures: tests/conformance/rvos.)"""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch

from univs.losses.soft_iou import (
    balanced_cross_entropy,
    mean_of_valid,
    permuted,
    slot_costs,
    slot_targets,
    soft_iou_loss,
)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def masks(*shape: int) -> torch.Tensor:
    return (torch.rand(*shape) > 0.6).float()


def test_soft_iou_is_the_ratio_of_sums() -> None:
    p, g = torch.rand(3, 7), masks(3, 7)
    for row in range(3):
        both = sum(float(p[row, i] * g[row, i]) for i in range(7))
        either = sum(float(p[row, i] + g[row, i] - p[row, i] * g[row, i]) for i in range(7))
        assert float(soft_iou_loss(p, g)[row]) == pytest.approx(1 - both / either, abs=1e-5)
    assert soft_iou_loss(g, g).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert soft_iou_loss(torch.zeros(1, 5), torch.zeros(1, 5)).item() == 1, "an absent object is not found by chance"


def test_what_there_is_more_of_weighs_less() -> None:
    logits, g = torch.randn(2, 6), torch.tensor([[1.0, 0, 0, 0, 0, 0], [1.0, 1, 0, 0, 0, 0]])
    found = balanced_cross_entropy(logits, g)
    for row in range(2):
        for i in range(6):
            p = 1 / (1 + math.exp(-float(logits[row, i])))
            want = -(1 - 0.25) * math.log(p) if g[row, i] else -0.25 * math.log(1 - p)
            assert float(found[row, i]) == pytest.approx(want, rel=1e-4)


def test_the_mean_is_over_what_is_valid_or_over_all() -> None:
    losses = torch.tensor([[1.0, 2.0], [3.0, 9.0]])
    assert mean_of_valid(losses, torch.tensor([[True, False], [True, False]])) == 2
    assert mean_of_valid(losses, torch.zeros(2, 2, dtype=torch.bool)) == 3.75


def test_costs_are_soft_iou_and_invalid_pairs_cost_ten() -> None:
    p, g = torch.rand(2, 3, 11), masks(2, 3, 11)
    valid = torch.tensor([[True, True, False], [True, True, True]])
    costs = slot_costs(p, g, valid)
    for b in range(2):
        for mask in range(3):
            for slot in range(3):
                want = soft_iou_loss(p[b, slot][None], g[b, mask][None]).item()
                want = want if valid[b, mask] and valid[b, slot] else 10.0
                assert float(costs[b, mask, slot]) == pytest.approx(want, abs=1e-5)


def test_every_slot_gets_the_mask_of_the_cheapest_order() -> None:
    costs = torch.rand(4, 4, 4)
    order = slot_targets(costs)
    for matrix, row in zip(costs, order.tolist(), strict=True):
        best = min(permutations(range(4)), key=lambda found: sum(float(matrix[m, s]) for s, m in enumerate(found)))
        assert row == list(best)


def test_permuted_masks_are_found_again() -> None:
    g = masks(2, 3, 40)
    order = torch.tensor([[2, 0, 1], [0, 2, 1]])
    shuffled = permuted(g, order)
    assert torch.equal(shuffled[0, 0], g[0, 2]) and torch.equal(shuffled[1, 1], g[1, 2])
    found = slot_targets(slot_costs(shuffled, g, torch.ones(2, 3, dtype=torch.bool)))
    assert torch.equal(found, order)
    two = torch.tensor([[True, True, False], [True, True, True]])
    first = slot_targets(slot_costs(shuffled, g, two))[0]
    assert first[2] == 2 and sorted(first[:2].tolist()) == [0, 1], "two objects are matched among two slots"
