"""What the word head is held to, against slow loops."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision.ops import box_iou

from tests.losses.shared_counts import mean_gap, together
from univs.losses.words import MIDDLE, assign_cells, box_losses, cell_losses, name_losses


def test_cells_answer_for_the_object_in_whose_middle_they_lie() -> None:
    """Against a loop over cells: within 0.3 of the box around its centre, or a cell from it and in the box, at least
    half a cell; smaller ones first."""
    boxes = torch.tensor([[0.0, 0, 96, 64], [40, 20, 60, 44], [4, 40, 9, 50], [70, 5, 90, 30]])
    owner = assign_cells(boxes, (8, 12), 8)
    want = torch.full((8, 12), -1)
    for row in range(8):
        for column in range(12):
            x, y, best = (column + 0.5) * 8, (row + 0.5) * 8, math.inf
            for g, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
                across, down = (max(4, min(max(8, 0.5 * MIDDLE * n), n / 2)) for n in (x1 - x0, y1 - y0))
                near = abs(x - (x0 + x1) / 2) <= across and abs(y - (y0 + y1) / 2) <= down
                if near and (x1 - x0) * (y1 - y0) < best:
                    want[row, column], best = g, (x1 - x0) * (y1 - y0)
    assert torch.equal(owner, want) and MIDDLE == 0.3
    assert set(want.unique().tolist()) == {-1, 0, 1, 2, 3}
    assert assign_cells(torch.zeros(0, 4), (2, 3), 8).tolist() == [[-1] * 3] * 2


def giou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    overlap = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return overlap / union - (hull - union) / hull


def test_box_losses_against_a_loop() -> None:
    torch.manual_seed(0)
    objectness = torch.randn(2, 4, 4)
    corner = torch.rand(2, 2, 4, 4) * 16
    predicted = torch.cat([corner, corner + 4 + 12 * torch.rand(2, 2, 4, 4)], 1)
    boxes = [torch.tensor([[2.0, 3, 20, 25], [20, 20, 30, 31]]), torch.zeros(0, 4)]
    known = torch.rand(2, 4, 4) > 0.4
    total, count = 0.0, 0.0
    for f in range(2):
        owner = assign_cells(boxes[f], (4, 4), 8)
        cells = [int((owner == g).sum()) for g in range(len(boxes[f]))]
        for y in range(4):
            for x in range(4):
                g, target, weight = int(owner[y, x]), 0.0, 1.0
                if g >= 0:
                    weight = cells[g] ** -0.5
                    mine = predicted[f, :, y, x]
                    target = float(box_iou(mine[None], boxes[f][g : g + 1]))
                    total += 2 * weight * (1 - giou(mine.tolist(), boxes[f][g].tolist()))
                    count += weight
                elif not known[f, y, x]:
                    continue
                p = 1 / (1 + math.exp(-float(objectness[f, y, x])))
                total -= weight * (p - target) ** 2 * (target * math.log(p) + (1 - target) * math.log(1 - p))
    assert count > 1.5
    assert float(box_losses(objectness, predicted, boxes, known, 8)) == pytest.approx(total / count, rel=1e-4)


def test_boxes_learn_from_giou_alone_and_unknown_cells_from_nothing() -> None:
    objectness = torch.zeros(1, 4, 4, requires_grad=True)
    predicted = torch.tensor([0.0, 0, 30, 30]).view(1, 4, 1, 1).repeat(1, 1, 4, 4).requires_grad_()
    wanted = [torch.tensor([[4.0, 4, 28, 28]])]
    box_losses(objectness, predicted, wanted, torch.zeros(1, 4, 4, dtype=torch.bool), 8).backward()
    owner = assign_cells(wanted[0], (4, 4), 8) >= 0
    assert objectness.grad is not None and predicted.grad is not None
    assert torch.equal(objectness.grad[0] != 0, owner) and torch.equal(predicted.grad[0].any(0), owner)
    # the overlap is a target, no way to lower the loss: what moves the boxes is GIoU's share alone
    slope = predicted.grad.clone()
    predicted.grad = None
    box_losses(objectness.detach() + 3, predicted, wanted, torch.zeros(1, 4, 4, dtype=torch.bool), 8).backward()
    torch.testing.assert_close(predicted.grad, slope)


def test_frames_without_objects_have_a_loss_of_their_own() -> None:
    objectness, predicted = torch.zeros(1, 2, 2), torch.zeros(1, 4, 2, 2)
    nothing = box_losses(objectness, predicted, [torch.zeros(0, 4)], torch.ones(1, 2, 2, dtype=torch.bool), 8)
    assert float(nothing) == pytest.approx(4 * 0.25 * math.log(2), rel=1e-5)
    assert float(box_losses(objectness, predicted, [torch.zeros(0, 4)], torch.zeros(1, 2, 2) > 0, 8)) == 0


def test_name_losses_against_a_loop() -> None:
    torch.manual_seed(0)
    logits, names = torch.randn(2, 4), torch.tensor([2, 0])
    vocabulary = torch.tensor([[True, False, True, True], [True, True, False, False]])
    total = 0.0
    for row in range(2):
        told = vocabulary[row].nonzero()[:, 0].tolist()
        for k in told:
            p = 1 / (1 + math.exp(-float(logits[row, k])))
            right = p if k == int(names[row]) else 1 - p
            total -= 0.5 * (1 - right) ** 2 * math.log(right)
        odds = {k: math.exp(float(logits[row, k])) for k in told}
        total -= math.log(odds[int(names[row])] / sum(odds.values()))
    assert float(name_losses(logits, names, vocabulary)) == pytest.approx(total / 2, rel=1e-4)
    assert float(name_losses(logits[:0], names[:0], vocabulary[:0])) == 0


def test_cell_losses_against_a_loop() -> None:
    torch.manual_seed(0)
    logits, shares = torch.randn(2, 3, 2, 2), torch.rand(2, 3, 2, 2)
    shares[0, 1], shares[1, 2] = 0.4, 0.5  # nowhere more than half: no dice
    known = torch.rand(2, 3, 2, 2) > 0.3
    known[1, 0], known[0, 2, 1], known[0, 0, 1] = False, torch.tensor([True, False]), torch.tensor([True, False])
    focal, weight, dice = 0.0, 0.0, []
    for f in range(2):
        for k in range(3):
            overlap, p_sum, g_sum, seen = 0.0, 0.0, 0.0, False
            cells = zip(logits[f, k].flatten(), shares[f, k].flatten(), known[f, k].flatten(), strict=True)
            for logit, share, sure in cells:
                if not sure:
                    continue
                p, g = 1 / (1 + math.exp(-float(logit))), float(share)
                focal -= (p - g) ** 2 * (g * math.log(p) + (1 - g) * math.log(1 - p))
                weight += g
                overlap, p_sum, g_sum, seen = overlap + p * g, p_sum + p, g_sum + g, seen or g > 0.5
            if seen:
                dice.append(1 - (2 * overlap + 1) / (p_sum + g_sum + 1))
    assert 1 < len(dice) < 5 and weight > 1
    want = focal / weight + sum(dice) / len(dice)
    assert float(cell_losses(logits, shares, known)) == pytest.approx(want, rel=1e-4)


def test_cells_of_nothing() -> None:
    zeros, every = torch.zeros(1, 2, 2, 2), torch.ones(1, 2, 2, 2, dtype=torch.bool)
    assert float(cell_losses(zeros, zeros, every)) == pytest.approx(8 * 0.25 * math.log(2), rel=1e-5)
    assert float(cell_losses(zeros, zeros, ~every)) == 0


@pytest.mark.parametrize("empty", [False, True])
def test_two_processes_count_as_one_with_the_frames_of_both(empty: bool) -> None:
    """Of which one has more objects, names and classes; or none at all."""
    torch.manual_seed(0)
    objectness, corner = torch.randn(2, 4, 4), torch.rand(2, 2, 4, 4) * 16
    predicted = torch.cat([corner, corner + 12], 1)
    boxes = [torch.tensor([[2.0, 3, 20, 25], [20, 20, 30, 31], [9, 2, 31, 31]]), torch.tensor([[8.0, 8, 16, 16]])]
    logits, names, vocabulary = torch.randn(5, 4), torch.tensor([2, 0, 1, 3, 3]), torch.rand(5, 4) > 0.2
    vocabulary[torch.arange(5), names] = True
    cells, shares = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    shares[1, :2] = 0.4  # one class of three is somewhere more than half
    known, rows = torch.rand(2, 3, 4, 4) > 0.2, [4, 1]
    if empty:
        boxes[1], rows, shares[1], logits = boxes[1][:0], [4, 0], torch.zeros(3, 4, 4), logits[:4]
        names, vocabulary = names[:4], vocabulary[:4]
    halves = [slice(0, 1), slice(1, 2)]
    of_box = together(
        lambda b, counting: box_losses(
            objectness[halves[b]], predicted[halves[b]], boxes[halves[b]], known[halves[b], 0], 8, counting
        )
    )
    assert mean_gap(of_box, box_losses(objectness, predicted, boxes, known[:, 0], 8)) < 1e-5
    of_name = together(
        lambda b, counting: name_losses(
            logits.split(rows)[b], names.split(rows)[b], vocabulary.split(rows)[b], counting
        )
    )
    assert mean_gap(of_name, name_losses(logits, names, vocabulary)) < 1e-5
    of_cell = together(lambda b, counting: cell_losses(cells[halves[b]], shares[halves[b]], known[halves[b]], counting))
    assert mean_gap(of_cell, cell_losses(cells, shares, known)) < 1e-5
