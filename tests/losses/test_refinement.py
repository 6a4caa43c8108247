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
    quality = torch.from_numpy(rng.normal(size=4)).float()
    truth = torch.from_numpy(rng.random((4, 12, 12)) > 0.5).float()
    known = torch.from_numpy(rng.random((4, 12, 12)) > 0.2)
    total = (truth * known).flatten(1).sum(1) + torch.tensor([0.0, 30.0, 7.0, 0.0])
    valid, learns = torch.tensor([True, True, True, False]), torch.tensor([True, False, True, True])
    found = refinement_losses(logits, quality, truth, known, total, valid, learns)
    large = F.interpolate(logits[:, None], (12, 12), mode="bilinear", align_corners=False)[:, 0]
    masks, dices, errors = [], [], []
    for n in range(3):
        terms, p_sum, g_sum, both, said, shared = [], 0.0, 0.0, 0.0, 0, 0
        for y, x in np.ndindex(12, 12):
            if not known[n, y, x]:
                continue
            p, g = sigmoid(float(large[n, y, x])), float(truth[n, y, x])
            terms.append(-np.log(p if g else 1 - p))
            p_sum, g_sum, both = p_sum + p, g_sum + g, both + p * g
            said, shared = said + (p > 0.5), shared + (p > 0.5 and g == 1)
        iou = shared / (said + float(total[n]) - shared)
        errors.append((sigmoid(float(quality[n])) - iou) ** 2)
        if learns[n]:
            masks.append(np.mean(terms))
            dices.append(1 - (2 * both + 1) / (p_sum + g_sum + 1))
    assert float(found["mask"]) == pytest.approx(np.mean(masks), rel=1e-5)
    assert float(found["dice"]) == pytest.approx(np.mean(dices), rel=1e-5)
    assert float(found["quality"]) == pytest.approx(np.mean(errors), rel=1e-5)


def test_what_lies_beyond_the_square_is_missed() -> None:
    """A square that is all object, and half of it seen: the IoU is that half."""
    logits, nothing = torch.full((1, 4, 4), 30.0), torch.zeros(1)
    all_known, yes = torch.ones(1, 8, 8, dtype=torch.bool), torch.tensor([True])
    given = (logits, nothing, torch.ones(1, 8, 8), all_known, torch.tensor([128.0]), yes, yes)
    assert float(refinement_losses(*given)["quality"]) == pytest.approx(0)  # said 0.5
    assert float(refinement_losses(*given)["dice"]) == pytest.approx(0, abs=1e-5)


def test_no_objects_are_no_loss() -> None:
    logits = torch.randn(2, 4, 4, requires_grad=True)
    nobody = torch.zeros(2, dtype=torch.bool)
    truth, known = torch.ones(2, 8, 8), torch.ones(2, 8, 8, dtype=torch.bool)
    found = refinement_losses(logits, torch.zeros(2), truth, known, torch.ones(2), nobody, nobody)
    assert [value.item() for value in found.values()] == [0, 0, 0]
    sum(found.values()).backward()  # type: ignore[union-attr]
    assert logits.grad is not None and (logits.grad == 0).all()
