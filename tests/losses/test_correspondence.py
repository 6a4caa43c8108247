"""The correspondence loss against a slow loop."""

from __future__ import annotations

import math

import pytest
import torch

from univs.losses import correspondence_loss, mean_over


def test_correspondence_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    carried, truth = torch.rand(2, 3, 5, generator=generator), torch.rand(2, 3, 5, generator=generator)
    carried[0, 0, 0], carried[0, 0, 1] = 0.0, 1.0  # certain and wrong: a large loss, not an infinite one
    valid = torch.tensor([[True, True, False], [False, True, False]])
    known = torch.tensor([[True, True, False, True, True], [False, True, True, False, False]])
    want = []
    for b, n in valid.nonzero().tolist():
        terms = []
        for p, t, sure in zip(carried[b, n].tolist(), truth[b, n].tolist(), known[b].tolist(), strict=True):
            p = min(max(p, 1e-4), 1 - 1e-4)
            if sure:
                terms.append(-t * math.log(p) - (1 - t) * math.log(1 - p))
        want.append(sum(terms) / len(terms))
    assert float(correspondence_loss(carried, truth, valid, known)) == pytest.approx(sum(want) / 3, rel=1e-4)
    assert float(correspondence_loss(carried, truth, valid, known & False)) == 0


def test_correspondence_prefers_the_true_place() -> None:
    truth = torch.tensor([[[0.0, 1.0, 0.5], [0.5, 0.0, 1.0]]])
    every = torch.ones(1, 2, dtype=torch.bool)
    known = torch.ones(1, 3, dtype=torch.bool)
    right, wrong = (float(correspondence_loss(carried, truth, every, known)) for carried in (truth, truth.roll(1)))
    assert right < wrong


def test_half_precision_is_widened_first() -> None:
    """In bfloat16 the bound 1 - 1e-4 were 1, and a place that is surely wrong cost infinitely much."""
    every = torch.ones(1, 1, dtype=torch.bool)
    loss = correspondence_loss(torch.ones(1, 1, 1, dtype=torch.bfloat16), torch.zeros(1, 1, 1), every, every)
    assert float(loss) == pytest.approx(-math.log(1e-4), rel=1e-2)


def test_rows_that_do_not_count_carry_no_gradient() -> None:
    carried = torch.full((1, 2, 3), 0.4, requires_grad=True)
    known = torch.tensor([[True, True, False]])
    correspondence_loss(carried, torch.ones(1, 2, 3), torch.tensor([[True, False]]), known).backward()
    assert carried.grad is not None and not carried.grad[0, 1].any()
    assert (carried.grad[0, 0, :2] < 0).all() and float(carried.grad[0, 0, 2]) == 0


def test_mean_over_what_counts() -> None:
    values = torch.tensor([1.0, 2.0, float("nan"), 6.0])
    assert float(mean_over(values, torch.tensor([True, True, False, True]))) == 3
    assert float(mean_over(values[:2], torch.tensor([False, True]))) == 2
    assert float(mean_over(values, torch.zeros(4, dtype=torch.bool))) == 0
