"""Suppression of double detections against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from univs.masks.suppression import box_iou, boxes_of, mask_iou, suppress


def random_masks(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.manual_seed(seed)) > 0.8


def test_boxes_reach_from_the_first_to_the_last_cell() -> None:
    masks = random_masks(4, 2, 9, 13)
    masks[1, 0] = False
    for found, mask in zip(boxes_of(masks).flatten(0, 1), masks.flatten(0, 1), strict=True):
        y, x = np.nonzero(mask.numpy())
        assert found.tolist() == ([x.min(), y.min(), x.max(), y.max()] if len(x) else [0, 0, 0, 0])


def test_box_overlap_of_every_pair_and_frame() -> None:
    corners = torch.rand(7, 3, 2, 2, generator=torch.manual_seed(1)).sort(dim=2).values.flatten(2) * 10
    first, second = corners[:3], corners[3:]
    overlap = box_iou(first, second)
    for n, m, t in np.ndindex(3, 4, 3):
        (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = first[n, t].tolist(), second[m, t].tolist()
        shared = max(0.0, min(ax1, bx1) - max(ax0, bx0)) * max(0.0, min(ay1, by1) - max(ay0, by0))
        union = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - shared
        assert float(overlap[n, m, t]) == pytest.approx(shared / union, abs=1e-5)
    nothing = torch.zeros(1, 3, 4)
    assert box_iou(nothing, nothing).tolist() == [[[0, 0, 0]]]


def test_mask_overlap_of_every_pair() -> None:
    first, second = random_masks(3, 5, 6, seed=2), random_masks(4, 5, 6, seed=3)
    first[0] = second[0] = False
    overlap = mask_iou(first, second)
    for n, m in np.ndindex(3, 4):
        a, b = first[n].numpy(), second[m].numpy()
        assert float(overlap[n, m]) == pytest.approx((a & b).sum() / max(1, (a | b).sum()))


def test_the_fallen_suppress_only_under_the_released_rule() -> None:
    # 0 suppresses 1, 1 would suppress 2
    overlap = torch.tensor([[1.0, 0.9, 0.1], [0.9, 1.0, 0.9], [0.1, 0.9, 1.0]])
    assert suppress(overlap, 0.9, "any_better").tolist() == [True, False, False]
    assert suppress(overlap, 0.9, "kept").tolist() == [True, False, True]
    assert suppress(overlap, 0.9).tolist() == [True, False, True]  # the usual rule, if nobody says
    assert suppress(overlap, 0.95).all()


def test_the_smallest_boxes_and_masks_overlap_themselves_whole() -> None:
    box, mask = torch.tensor([[[0.2, 0.2, 0.4, 0.4]]]), torch.eye(3).bool()[None] & (torch.arange(3) == 1)
    assert float(box_iou(box, box)) == pytest.approx(1) and mask_iou(mask, mask).tolist() == [[1]]
