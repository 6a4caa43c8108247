"""Soft aggregation of probabilities, pixel by pixel."""

from __future__ import annotations

import math

import pytest
import torch

from univs.masks.frame_labels import soft_aggregate
from univs.masks.soft_aggregation import joint_probabilities, log_odds


def odds(p: float) -> float:
    return p / (1 - p)


@pytest.mark.parametrize("background", [None, 0.5, 0.2])
def test_odds_compete(background: float | None) -> None:
    torch.manual_seed(0)
    given = torch.rand(3, 2, 4)
    joint = joint_probabilities(given, background)
    for y in range(2):
        for x in range(4):
            p = [float(v) for v in given[:, y, x]]
            nobody = math.prod(1 - v for v in p) if background is None else background
            shares = [odds(nobody), *map(odds, p)]
            for row, share in enumerate(shares):
                assert float(joint[row, y, x]) == pytest.approx(share / sum(shares), rel=1e-4)


def test_certain_masks_stay_finite() -> None:
    joint = joint_probabilities(torch.tensor([0.0, 1.0, 1.0]).view(3, 1, 1))
    assert torch.isfinite(joint).all()
    assert joint.flatten().tolist() == pytest.approx([0, 0, 0.5, 0.5], abs=1e-6)
    assert log_odds(torch.ones(1, 1, 1)).flatten().tolist() == pytest.approx([-16.1, 16.1], abs=0.3)


def test_hard_is_all_for_the_likeliest() -> None:
    given = torch.tensor([[0.3, 0.6, 0.45], [0.2, 0.55, 0.46]]).view(2, 1, 3)
    assert joint_probabilities(given, 0.5, hard=True)[:, 0].T.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert joint_probabilities(given, hard=True)[:, 0, 2].tolist() == pytest.approx([0, 0, 1], abs=1e-9)


def test_it_is_the_aggregation_of_logits() -> None:
    logits = torch.randn(2, 3, 4, 5)
    want = soft_aggregate(logits).softmax(-3)
    torch.testing.assert_close(joint_probabilities(logits.sigmoid()), want, atol=1e-5, rtol=1e-4)
