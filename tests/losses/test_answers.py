"""Losses of several answers against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.losses import answer_ious, answer_losses
from univs.losses.answers import SHARED
from univs.losses.masks import binary_cross_entropy, dice_loss


@pytest.fixture(autouse=True)
def inner_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points that lie between cells, not at the rim, where a flat map is not flat."""

    def draw(logits: Tensor, points: int, **_: Any) -> Tensor:
        along = torch.linspace(0.1, 0.9, round(points**0.5))
        grid = torch.stack(torch.meshgrid(along, along, indexing="xy"), -1).flatten(0, 1)
        return grid.expand(len(logits), -1, -1)

    monkeypatch.setattr("univs.losses.set_criterion.uncertain_points", draw)


def flat(value: float, size: int = 8) -> Tensor:
    """Logits that are the same everywhere."""
    return torch.full((size, size), value)


def terms(value: float, target: float) -> float:
    """Cross-entropy and dice of a flat mask."""
    logits, wanted = torch.full((1, 64), value), torch.full((1, 64), target)
    return float(binary_cross_entropy(logits, wanted) + dice_loss(logits, wanted))


def test_the_best_answer_learns_and_all_learn_how_good_they_are() -> None:
    said = [[[3.0, -1.0, 0.5], [-2.0, 2.0, -4.0]], [[1.0, 1.5, -3.0], [9.0, 9.0, 9.0]]]
    truth = [[1.0, 0.0], [1.0, 1.0]]
    valid = torch.tensor([[True, True], [True, False]])
    logits = torch.stack([torch.stack([torch.stack([flat(v) for v in n]) for n in b]) for b in said])
    targets = torch.stack([torch.stack([flat(v, 32) for v in b]) for b in truth])
    quality = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 2, 3))).float()
    found = answer_losses(logits, quality, targets, valid, 64)
    fits, errors = [], []
    for b in range(2):
        for n in range(2):
            if not valid[b, n]:
                continue
            each = [terms(v, truth[b][n]) for v in said[b][n]]
            fits.append((1 - SHARED) * min(each) + SHARED * sum(each) / 3)
            for a, v in enumerate(said[b][n]):
                iou = 1.0 if v > 0 and truth[b][n] > 0 else 0.0
                errors.append((1 / (1 + np.exp(-float(quality[b, n, a]))) - iou) ** 2)
    np.testing.assert_allclose(float(found["answers"]), np.mean(fits), rtol=1e-5)
    np.testing.assert_allclose(float(found["quality"]), np.mean(errors), rtol=1e-5)


def test_gradients_go_to_the_best_and_a_little_to_the_others() -> None:
    logits = torch.stack([flat(1.0), flat(-1.0)])[None, None].requires_grad_()
    quality = torch.zeros(1, 1, 2, requires_grad=True)
    found = answer_losses(logits, quality, torch.ones(1, 1, 32, 32), torch.ones(1, 1, dtype=torch.bool), 64)
    found["answers"].backward()
    assert logits.grad is not None and quality.grad is None
    best, other = logits.grad[0, 0].sum((1, 2)).tolist()
    each = [torch.autograd.functional.jacobian(lambda v: _of(v), torch.tensor(v)) for v in (1.0, -1.0)]
    np.testing.assert_allclose(best, (1 - SHARED / 2) * float(each[0]), rtol=1e-4)
    np.testing.assert_allclose(other, SHARED / 2 * float(each[1]), rtol=1e-4)


def _of(value: Tensor) -> Tensor:
    logits, wanted = value.expand(1, 64), torch.ones(1, 64)
    return (binary_cross_entropy(logits, wanted) + dice_loss(logits, wanted)).sum()


def test_nothing_to_answer_is_no_loss() -> None:
    nobody = torch.zeros(1, 2, dtype=torch.bool)
    found = answer_losses(torch.randn(1, 2, 3, 8, 8), torch.randn(1, 2, 3), torch.ones(1, 2, 32, 32), nobody, 16)
    assert float(found["answers"]) == float(found["quality"]) == 0


def test_unknown_pixels_weigh_nothing() -> None:
    """Right where something is known, wrong where nothing is."""
    logits = flat(-30.0)
    logits[:, :4] = 30
    unknown = torch.zeros(1, 32, 32, dtype=torch.bool)
    unknown[..., 16:] = True
    valid = torch.ones(1, 1, dtype=torch.bool)
    arguments = (logits[None, None, None], torch.zeros(1, 1, 1), torch.ones(1, 1, 32, 32), valid, 256)
    assert float(answer_losses(*arguments, unknown)["answers"]) < 1e-3 < float(answer_losses(*arguments)["answers"])
    np.testing.assert_allclose(float(answer_losses(*arguments, unknown)["quality"]), 0.25)
    np.testing.assert_allclose(float(answer_losses(*arguments)["quality"]), 0.0, atol=1e-6)  # IoU 0.5, said 0.5


def test_ious_are_those_of_cells() -> None:
    rng = np.random.default_rng(3)
    logits = torch.from_numpy(rng.normal(size=(2, 2, 3, 8, 8))).float()
    targets = torch.from_numpy(rng.random((2, 2, 32, 32)) > 0.4).float()
    unknown = torch.from_numpy(rng.random((2, 32, 32)) > 0.97)
    found = answer_ious(logits, targets, unknown)
    for b, n, a in np.ndindex(2, 2, 3):
        shared = either = 0
        for y, x in np.ndindex(8, 8):
            cell = (slice(4 * y, 4 * y + 4), slice(4 * x, 4 * x + 4))
            if unknown[b][cell].any():
                continue
            said, true = bool(logits[b, n, a, y, x] > 0), float(targets[b, n][cell].mean()) > 0.5
            shared, either = shared + (said and true), either + (said or true)
        np.testing.assert_allclose(float(found[b, n, a]), shared / either, rtol=1e-6)
    assert float(answer_ious(torch.full((1, 1, 1, 8, 8), -1.0), torch.zeros(1, 1, 32, 32))) == 0
