"""Losses of a closer look against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from univs.losses.refinement import refinement_losses


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def test_every_object_cell_by_cell() -> None:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(4, 6, 6))).float()
    truth = torch.from_numpy(rng.random((4, 12, 12)) > 0.5).float()
    known = torch.from_numpy(rng.random((4, 12, 12)) > 0.2)
    learns = torch.tensor([True, False, True, True])
    found = refinement_losses(logits, truth, known, learns)
    large = F.interpolate(logits[:, None], (12, 12), mode="bilinear", align_corners=False)[:, 0]
    masks, dices = [], []
    for n in (0, 2, 3):
        terms, p_sum, g_sum, both = [], 0.0, 0.0, 0.0
        for y, x in np.ndindex(12, 12):
            if not known[n, y, x]:
                continue
            p, g = sigmoid(float(large[n, y, x])), float(truth[n, y, x])
            terms.append(-np.log(p if g else 1 - p))
            p_sum, g_sum, both = p_sum + p, g_sum + g, both + p * g
        masks.append(np.mean(terms))
        dices.append(1 - (2 * both + 1) / (p_sum + g_sum + 1))
    assert float(found["mask"]) == pytest.approx(np.mean(masks), rel=1e-5)
    assert float(found["dice"]) == pytest.approx(np.mean(dices), rel=1e-5)


def test_no_objects_are_no_loss() -> None:
    logits = torch.randn(2, 4, 4, requires_grad=True)
    nobody = torch.zeros(2, dtype=torch.bool)
    found = refinement_losses(logits, torch.ones(2, 8, 8), torch.ones(2, 8, 8, dtype=torch.bool), nobody)
    assert [value.item() for value in found.values()] == [0, 0]
    sum(found.values()).backward()  # type: ignore[union-attr]
    assert logits.grad is not None and (logits.grad == 0).all()
