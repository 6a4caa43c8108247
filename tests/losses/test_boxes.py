"""Losses of boxes against loops over cells."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from univs.losses import colour_similarity, fill_boxes, pairwise_terms, projection_loss
from univs.losses.boxes import boxes_of_masks, disagreement, outside_loss

AROUND = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


def test_filled_boxes_are_masks_that_fill_them_resized() -> None:
    """Against bilinear resizing, for boxes of whole pixels; empty boxes are empty."""
    boxes = torch.tensor([[3.0, 5, 17, 10], [0, 0, 24, 16], [7, 2, 8, 3], [9, 9, 9, 12], [0, 0, 0, 0]])
    found = fill_boxes(boxes, (4, 6), 4)
    for (x0, y0, x1, y1), map_ in zip(boxes.int().tolist(), found, strict=True):
        mask = torch.zeros(1, 1, 16, 24)
        mask[..., y0:y1, x0:x1] = 1
        wanted = torch.nn.functional.interpolate(mask, (4, 6), mode="bilinear", align_corners=False)[0, 0]
        torch.testing.assert_close(map_, wanted)
    half = fill_boxes(torch.tensor([1.5, 0, 4, 4]), (1, 1), 4)
    assert half.tolist() == [[pytest.approx(0.75)]]


def test_boxes_of_masks_are_tight() -> None:
    torch.manual_seed(0)
    masks = torch.rand(6, 2, 7, 9) > 0.95
    masks[0] = False
    for mask, box in zip(masks.flatten(0, 1), boxes_of_masks(masks).flatten(0, 1), strict=True):
        wanted = torch.zeros(7, 9, dtype=torch.bool)
        if mask.any():
            y, x = mask.nonzero().unbind(1)
            wanted[y.min() : y.max() + 1, x.min() : x.max() + 1] = True
        assert torch.equal(box, wanted)


def test_projection_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, boxes = 3 * torch.randn(3, 5, 7, generator=generator), torch.zeros(3, 5, 7)
    boxes[0, 1:4, 2:6], boxes[1, :, 3] = 1, 0.5
    for row, box, found in zip(logits, boxes, projection_loss(logits, boxes).tolist(), strict=True):
        total = 0.0
        for lines, wanted in ((row, box), (row.T, box.T)):
            above = below = 0.0
            for line, other in zip(lines.tolist(), wanted.tolist(), strict=True):
                p = max(1 / (1 + math.exp(-x)) for x in line)
                above, below = above + p * max(other), below + p * p + max(other) ** 2
            total += 1 - 2 * above / (below + 1e-5)
        assert found == pytest.approx(total, rel=1e-5)


def test_a_mask_that_reaches_as_far_as_its_box_costs_nothing_whatever_its_shape() -> None:
    box = torch.zeros(1, 8, 8)
    box[:, 2:6, 1:7] = 1
    cross = torch.full((1, 8, 8), -20.0)
    cross[:, 2:6, 3], cross[:, 4, 1:7] = 20, 20
    assert float(projection_loss(cross, box)) < 1e-4 < 0.1 < float(projection_loss(cross.roll(1, 2), box))


def test_what_is_outside_is_not_the_object() -> None:
    logits = torch.tensor([[[2.0, -1.0], [0.5, 3.0]], [[2.0, -1.0], [0.5, 3.0]]], requires_grad=True)
    boxes = torch.tensor([[[1.0, 0.25], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    found = outside_loss(logits, boxes)
    cost = [[math.log(1 + math.exp(x)) for x in (2.0, -1.0, 0.5, 3.0)]] * 2
    assert found.tolist() == [pytest.approx(sum(cost[0][2:]) / 4), pytest.approx(sum(cost[1]) / 4)]
    found.sum().backward()
    assert logits.grad is not None and logits.grad[0, 0].tolist() == [0, 0] and bool((logits.grad[1] > 0).all())


@pytest.mark.parametrize("dilation", [1, 2])
def test_colours_and_pairs_against_loops(dilation: int) -> None:
    """Neighbours beyond the frame are black and never disagree; they are counted where black is alike."""
    generator = torch.Generator().manual_seed(0)
    colours = 4 * torch.rand(2, 3, 5, 6, generator=generator)
    colours[0, :, 0, 0] = 0.1
    logits = 3 * torch.randn(2, 5, 6, generator=generator)
    boxes = (torch.rand(2, 5, 6, generator=generator) > 0.4) * torch.tensor([1.0, 0.5])[:, None, None]
    similarity = colour_similarity(colours, dilation)
    sums, weights = pairwise_terms(logits, similarity >= 0.3, boxes, dilation)
    for r in range(2):
        total = count = 0.0
        for y in range(5):
            for x in range(6):
                for d, (down, right) in enumerate(AROUND):
                    v, u = y + dilation * down, x + dilation * right
                    inside = 0 <= v < 5 and 0 <= u < 6
                    other = colours[r, :, v, u] if inside else torch.zeros(3)
                    alike = math.exp(-0.5 * float((colours[r, :, y, x] - other).norm()))
                    assert float(similarity[r, d, y, x]) == pytest.approx(alike, rel=1e-4)
                    if alike < 0.3:
                        continue
                    count += float(boxes[r, y, x])
                    if inside:
                        p, q = (float(logits[r, i, j].sigmoid()) for i, j in ((y, x), (v, u)))
                        total -= float(boxes[r, y, x]) * math.log(p * q + (1 - p) * (1 - q))
        assert float(sums[r]) == pytest.approx(total, rel=1e-4) and float(weights[r]) == pytest.approx(count)


def test_disagreement_of_sure_cells_is_finite_and_so_is_its_slope() -> None:
    sure = torch.tensor([200.0, 200.0, 0.0], requires_grad=True)
    found = disagreement(sure, torch.tensor([-200.0, 200.0, 5.0]))
    np.testing.assert_allclose(found.detach().numpy(), [200 - math.log(2), 0, math.log(2)], rtol=1e-5, atol=1e-6)
    found.sum().backward()
    assert sure.grad is not None and sure.grad.isfinite().all() and float(sure.grad[1]) == pytest.approx(0, abs=1e-6)
