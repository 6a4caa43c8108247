"""Losses of FEELVOS against loops over pixels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from univs.losses.hardest_pixels import hardest_cross_entropy, triplet_loss


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_hardest_pixels_are_chosen_in_each_video(share: float) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 5, 8), torch.randint(0, 3, (2, 5, 8))
    labels[0, :2] = 255
    found = hardest_cross_entropy(logits, labels, share)
    for video in range(2):
        each = []
        for y in range(5):
            for x in range(8):
                label = int(labels[video, y, x])
                each.append(
                    0.0 if label == 255 else float(F.cross_entropy(logits[video, :, y, x], torch.tensor(label)))
                )
        kept = sorted(each, reverse=True)[: int(share * 40)]
        counted = [one for one in kept if one > 0]
        assert float(found[video]) == pytest.approx(sum(counted) / len(counted), rel=1e-5)


def test_nothing_known_is_nothing_lost_and_gradients_reach_what_is_kept() -> None:
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    labels = torch.full((1, 4, 4), 255)
    assert (
        hardest_cross_entropy(logits, labels, 0.5).tolist()
        == [0.0]
        == hardest_cross_entropy(logits, labels, 1).tolist()
    )
    labels[0, 0, 0] = 1
    hardest_cross_entropy(logits, labels, 0.25).sum().backward()
    assert logits.grad is not None and set(logits.grad.nonzero()[:, 2:].flatten().tolist()) == {0}


def test_triplets_by_hand() -> None:
    anchors = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]])
    others = torch.tensor([[0.0, 1.0], [3.0, 0.0], [0.0, 2.0]])
    # first: nearest positive 1, nearest negative 9; second: 1 and min(5, 8) = 5; third has no positive
    loss = triplet_loss(anchors, torch.tensor([0, 1, 7]), others, torch.tensor([0, 1, 0]), weight=3.0)
    assert loss.item() == 0
    swapped = triplet_loss(anchors, torch.tensor([1, 0, 7]), others, torch.tensor([0, 1, 0]), weight=3.0)
    assert swapped.item() == pytest.approx(3 * ((9 - 1 + 1) + (5 - 1 + 1) + 0) / 3)
    assert triplet_loss(anchors, torch.tensor([1, 1, 1]), others, torch.tensor([1, 1, 1])).item() == 0, "no negative"


def test_triplets_pull_the_nearest_alone() -> None:
    torch.manual_seed(0)
    anchors, others = (torch.randn(count, 4, dtype=torch.float64, requires_grad=True) for count in (6, 40))
    labels, other_labels = torch.arange(6) % 3, torch.arange(40) % 3
    loss = triplet_loss(anchors, labels, others, other_labels, 1.0)
    squared = (anchors[:, None] - others[None]).square().sum(2)
    same = labels[:, None] == other_labels
    wanted = [(squared[i, same[i]].amin() - squared[i, ~same[i]].amin() + 1).relu() for i in range(6)]
    assert loss.item() == pytest.approx(float(sum(wanted)) / 6)
    want = torch.autograd.grad(sum(wanted) / 6, (anchors, others))
    for got, expected in zip(torch.autograd.grad(loss, (anchors, others)), want, strict=True):
        torch.testing.assert_close(got, expected)
