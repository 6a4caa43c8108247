"""Targets out of label maps, boxes, or either."""

from __future__ import annotations

import torch

from univs.losses import BoxTargets, BoxTerms, CriterionWeights, EitherTargets, MaskTargets, see
from univs.training.truth import BoxTruth, EitherTruth, MaskTruth, boxes_of, filled_boxes


def box_truth() -> BoxTruth:
    """Three frames of 32 pixels; object 2 is seen on the last two."""
    boxes = torch.zeros(3, 2, 4)
    boxes[:, 0] = torch.tensor([4.0, 8, 16, 24])
    boxes[1:, 1] = torch.tensor([0.0, 0, 32, 12])
    frames = torch.randint(0, 255, (3, 1, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    return BoxTruth(boxes, see(frames, BoxTerms(), 4), BoxTerms(), 32, 9)


def test_boxes_by_id() -> None:
    boxes = torch.arange(24.0).view(2, 3, 4)
    found = boxes_of(boxes, torch.tensor([[3, 0], [1, 2]]))
    assert torch.equal(found, torch.stack([torch.stack([boxes[0, 2], torch.zeros(4)]), boxes[1, :2]]))
    over_time = boxes[:, :, None].expand(-1, -1, 5, -1)
    assert torch.equal(boxes_of(over_time, torch.tensor([[2], [3]]))[:, 0, 4], torch.stack([boxes[0, 1], boxes[1, 2]]))


def test_targets_of_boxes() -> None:
    truth = box_truth()
    targets, seen = truth.targets(torch.tensor([[2, 1], [0, 2], [1, 0]]))
    assert seen.tolist() == [[False, True], [False, True], [True, False]] and targets.step == 9
    assert targets.boxes.shape == (3, 2, 1, 8, 8) and not targets.boxes[0, 0].any()
    wanted = torch.zeros(8, 8)
    wanted[2:6, 1:4] = 1
    assert torch.equal(targets.boxes[0, 1, 0], wanted) and torch.equal(targets.boxes[2, 0, 0], wanted)
    assert torch.equal(filled_boxes(truth.boxes[1, 1], 32), targets.boxes[1, 1, 0])
    last, _ = truth.frames(torch.tensor([2])).targets(torch.tensor([[1]]))
    assert torch.equal(last.seen.alike, truth.seen.alike[2:]) and torch.equal(last.boxes[0, 0, 0], wanted)


def test_either() -> None:
    labels = torch.zeros(3, 32, 32, dtype=torch.uint8)
    labels[0, :5] = 2
    labels[1:] = 255
    masks = MaskTruth(labels, CriterionWeights())
    either = EitherTruth(masks, box_truth(), torch.tensor([False, True, True]))
    ids = torch.tensor([[1, 2], [2, 0], [1, 2]])
    targets, seen = either.targets(ids)
    assert isinstance(targets, EitherTargets)
    assert seen.tolist() == [[False, True], [True, False], [True, True]]
    assert isinstance(targets.masks, MaskTargets) and isinstance(targets.boxes, BoxTargets)
    assert torch.equal(targets.masks.masks[0, 1, 0], (labels[0] == 2).float())
    assert targets.masks.unknown is not None and targets.masks.unknown[1:].all()
    some = either.frames(torch.tensor([2, 0]))
    assert some.boxed.tolist() == [True, False]
    assert some.targets(ids[[2, 0]])[1].tolist() == [[True, True], [False, True]]
