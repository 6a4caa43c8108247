"""Mask losses against slow loops and hand-made numbers."""

from __future__ import annotations

import math

import pytest
import torch

from univs.losses import (
    binary_cross_entropy,
    bootstrapped_cross_entropy,
    dice_loss,
    selected_cross_entropy,
    soft_dice_loss,
)


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 7, generator=generator), torch.rand(3, 7, generator=generator)


def test_cross_entropy_against_a_loop() -> None:
    logits, targets = rows()
    for row, got in enumerate(binary_cross_entropy(logits, targets)):
        want = 0.0
        for x, t in zip(logits[row].tolist(), targets[row].tolist(), strict=True):
            p = 1 / (1 + math.exp(-x))
            want -= t * math.log(p) + (1 - t) * math.log(1 - p)
        assert float(got) == pytest.approx(want / 7, rel=1e-5)


def test_dice_against_a_loop() -> None:
    logits, targets = rows()
    for row, got in enumerate(dice_loss(logits, targets)):
        p = [1 / (1 + math.exp(-x)) for x in logits[row].tolist()]
        g = targets[row].tolist()
        want = 1 - (2 * sum(a * b for a, b in zip(p, g, strict=True)) + 1) / (sum(p) + sum(g) + 1)
        assert float(got) == pytest.approx(want, rel=1e-5)
        assert float(soft_dice_loss(torch.tensor([p]), targets[row : row + 1])[0]) == pytest.approx(want, rel=1e-5)


def test_dice_by_hand() -> None:
    logits = torch.tensor([[100.0, 100.0, -100.0, -100.0]])
    targets = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    assert float(dice_loss(logits, targets)) == pytest.approx(1 - 3 / 5)


def test_bootstrapping_keeps_the_hardest_pixels() -> None:
    logits = torch.zeros(1, 2, 1, 4)
    logits[0, 1, 0] = torch.tensor([-3.0, -1.0, 1.0, 3.0])
    labels = torch.ones(1, 1, 4, dtype=torch.uint8)
    every = [math.log(1 + math.exp(x)) for x in (3, 1, -1, -3)]
    assert float(bootstrapped_cross_entropy(logits, labels, 1.0)) == pytest.approx(sum(every) / 4, rel=1e-5)
    assert float(bootstrapped_cross_entropy(logits, labels, 0.5)) == pytest.approx(sum(every[:2]) / 2, rel=1e-5)
    assert float(bootstrapped_cross_entropy(logits, labels, 0.01)) == pytest.approx(every[0], rel=1e-5)


@pytest.mark.parametrize("kept", [1.0, 0.6, 0.25])
def test_bootstrapping_goes_image_by_image(kept: float) -> None:
    """Against loops; the hardest pixels of an easy image count as much as those of a hard one."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator) * torch.tensor([1.0, 9.0]).view(2, 1, 1, 1)
    labels = torch.randint(0, 3, (2, 4, 5), generator=generator).to(torch.uint8)
    labels[0, 0] = 255
    want = 0.0
    for image in range(2):
        losses = []
        for y in range(4):
            for x in range(5):
                scores = logits[image, :, y, x].tolist()
                total = math.log(sum(math.exp(s) for s in scores))
                label = int(labels[image, y, x])
                losses.append(0.0 if label == 255 else total - scores[label])
        hardest = sorted(losses, reverse=True)[: int(kept * 20)]
        want += sum(hardest) / len(hardest) / 2
    assert float(bootstrapped_cross_entropy(logits, labels, kept)) == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("kept", [1.0, 0.9])
def test_ignored_pixels_weigh_nothing(kept: float) -> None:
    logits = torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.full((1, 3, 3), 255, dtype=torch.uint8)
    labels[0, 0, 0] = 1
    bootstrapped_cross_entropy(logits, labels, kept).backward()
    assert logits.grad is not None
    assert float(logits.grad[0, :, 1:].abs().sum()) == 0
    assert float(logits.grad[0, :, 0, 0].abs().sum()) > 0


def test_another_number_may_stand_for_ignore() -> None:
    logits, labels = torch.zeros(1, 2, 1, 2), torch.tensor([[[7, 1]]])
    assert float(bootstrapped_cross_entropy(logits, labels, 1.0, ignore=7)) == pytest.approx(math.log(2) / 2)


def test_points_that_do_not_count_weigh_nothing() -> None:
    """As if they were not there; a mask without any costs nothing, and nothing is learnt from it."""
    logits, targets = rows()
    logits = logits.requires_grad_()
    counted = torch.tensor([[True, False, True, True, False, False, True], [False] * 6 + [True], [False] * 7])
    for loss in (binary_cross_entropy, dice_loss):
        found = loss(logits, targets, counted)
        for row in (0, 1):
            kept = counted[row]
            alone = loss(logits[row : row + 1, kept], targets[row : row + 1, kept])[0]
            assert float(found[row].detach()) == pytest.approx(float(alone.detach()), rel=1e-5)
        assert float(found[2].detach()) == 0
        (slope,) = torch.autograd.grad(found.sum(), logits)
        assert torch.equal(slope != 0, counted)


def test_bootstrapping_of_all_images_together_takes_the_hardest_wherever_they_are() -> None:
    logits = torch.zeros(2, 2, 1, 4)
    logits[0, 0] = 8.0  # certain of the background, wrongly on two pixels
    labels = torch.tensor([[[0, 0, 1, 1]], [[0, 1, 0, 1]]])
    wrong, undecided = math.log1p(math.exp(-8)) + 8, math.log(2)
    got = float(bootstrapped_cross_entropy(logits, labels, 0.5, together=True))
    assert got == pytest.approx((2 * wrong + 2 * undecided) / 4, rel=1e-5)
    assert float(bootstrapped_cross_entropy(logits, labels, 0.5)) == pytest.approx((wrong + undecided) / 2, rel=1e-5)


def test_a_second_object_competes_only_where_there_is_one() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0]).reshape(1, 3, 1, 1).repeat(2, 1, 1, 2)
    labels = torch.tensor([[[1, 2]], [[1, 0]]])
    three = [math.exp(x) / sum(map(math.exp, (0, 1, 2))) for x in (0, 1, 2)]
    two = [1 / (1 + math.e), math.e / (1 + math.e)]
    got = float(selected_cross_entropy(logits, labels, torch.tensor([True, False]), 1.0))
    want = (-math.log(three[1]) - math.log(three[2]) - math.log(two[1]) - math.log(two[0])) / 4
    assert got == pytest.approx(want, rel=1e-5)
