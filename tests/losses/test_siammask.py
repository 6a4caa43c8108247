"""What SiamMask is taught with, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from univs.losses.siammask import (
    anchor_box_loss,
    anchor_score_loss,
    cell_dice_loss,
    cell_mask_loss,
    cell_masks,
    positive_cells,
)


def test_both_kinds_of_anchors_count_half() -> None:
    scores, labels = torch.randn(2, 2, 3, 4, 4), torch.randint(-1, 2, (2, 3, 4, 4))
    sums, counts = {1: 0.0, 0: 0.0}, {1: 0, 0: 0}
    for b in range(2):
        for place in torch.cartesian_prod(torch.arange(3), torch.arange(4), torch.arange(4)).tolist():
            kind = int(labels[(b, *place)])
            if kind >= 0:
                two = [float(scores[(b, one, *place)]) for one in (0, 1)]
                sums[kind] += math.log(math.exp(two[0]) + math.exp(two[1])) - two[kind]
                counts[kind] += 1
    want = sum(0.5 * sums[kind] / counts[kind] for kind in (0, 1))
    assert float(anchor_score_loss(scores, labels)) == pytest.approx(want, rel=1e-4)
    assert float(anchor_score_loss(scores, torch.full_like(labels, -1))) == 0
    alone = anchor_score_loss(scores, torch.where(labels == 0, 0, -1))
    assert float(alone) == pytest.approx(0.5 * sums[0] / counts[0], rel=1e-4)


def test_boxes_are_summed_of_a_crop() -> None:
    boxes, deltas, weights = torch.randn(2, 4, 3, 2, 2), torch.randn(2, 4, 3, 2, 2), torch.rand(2, 3, 2, 2)
    want = sum(float((boxes[b, c] - deltas[b, c]).abs().mul(weights[b]).sum()) for b in range(2) for c in range(4))
    assert float(anchor_box_loss(boxes, deltas, weights)) == pytest.approx(want / 2, rel=1e-4)


def test_masks_of_cells_are_windows_of_the_crop() -> None:
    masks = torch.randint(0, 2, (2, 255, 255)) * 2 - 1
    cells = torch.tensor([[0, 0, 24], [1, 12, 12], [1, 3, 7]])
    got = cell_masks(masks, cells, 25)
    assert got.shape == (3, 127, 127)
    for target, (row, y, x) in zip(got, cells.tolist(), strict=True):
        for down, across in ((0, 0), (40, 40), (126, 90)):
            at = (y - 4) * 8 + down, (x - 4) * 8 + across
            inside = all(0 <= place < 255 for place in at)
            assert float(target[down, across]) == (float(masks[(row, *at)]) if inside else 0)


def test_the_loss_of_masks() -> None:
    logits, targets = torch.randn(2, 127, 127), torch.randint(-1, 2, (2, 127, 127)).float()
    want = torch.log1p(torch.exp(-targets * logits)).mean()
    torch.testing.assert_close(cell_mask_loss(logits, targets), want)
    small = torch.randn(2, 64, 64)
    got = cell_mask_loss(small, targets)
    large = torch.empty(2, 127, 127)
    for y in range(127):
        for x in range(127):  # 127 pixels and 64: every second one is a pixel of the small map
            rows, columns = {y // 2, (y + 1) // 2}, {x // 2, (x + 1) // 2}
            large[:, y, x] = torch.stack([small[:, r, c] for r in rows for c in columns]).mean(0)
    torch.testing.assert_close(got, torch.log1p(torch.exp(-targets * large)).mean(), atol=1e-5, rtol=1e-5)
    nothing = torch.zeros(0, 127, 127, requires_grad=True)
    cell_mask_loss(nothing, torch.zeros(0, 127, 127)).backward()


def test_cells_that_hold_an_object() -> None:
    labels = torch.full((2, 3, 2, 2), -1)
    labels[0, 2, 1, 0] = labels[0, 0, 1, 0] = labels[1, 1, 0, 1] = 1
    labels[1, 0, 1, 1] = 0
    assert positive_cells(labels).tolist() == [[0, 1, 0], [1, 0, 1]]


def test_dice_of_masks_leaves_out_what_is_not_known() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(3, 9, 9), torch.randint(-1, 2, (3, 9, 9)).float()
    want = []
    for own, true in zip(logits, targets, strict=True):
        pairs = [(float(p.sigmoid()), float(t > 0)) for p, t in zip(own.ravel(), true.ravel(), strict=True) if t]
        shared = sum(p * g for p, g in pairs)
        want.append(1 - (2 * shared + 1) / (sum(p + g for p, g in pairs) + 1))
    assert float(cell_dice_loss(logits, targets)) == pytest.approx(sum(want) / 3, rel=1e-5)
    assert float(cell_dice_loss(20 * targets, targets)) < 1e-3
