"""Anchor targets and the three losses."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from univs.losses.siammask import anchor_box_loss, anchor_score_loss, cell_mask_loss, cell_masks
from univs.losses.siammask_targets import (
    NEGATIVE,
    POSITIVE,
    anchor_deltas,
    anchor_overlaps,
    anchor_targets,
    targets_of_a_pair,
)
from univs.models.siammask_anchors import Anchors, centre_grid

pytestmark = pytest.mark.conformance


@pytest.mark.files("losses*")
def test_targets_of_anchors(golden: Any) -> None:
    grid = centre_grid(Anchors(), 25, 127)
    count = sum(1 for name in golden if re.fullmatch(r"target\d+_box", name))
    assert count > 0
    for number in range(count):
        box, name = golden[f"target{number}_box"], f"target{number}"
        overlaps = anchor_overlaps(grid, box)
        golden.check(f"{name}_iou", overlaps, 1e-5)
        golden.check_features(f"{name}_delta", torch.from_numpy(anchor_deltas(grid, box)), 1e-5)
        assert (overlaps > POSITIVE).sum() == golden[f"{name}_n_pos_over_{POSITIVE}"]
        assert (overlaps < NEGATIVE).sum() == golden[f"{name}_n_neg_under_{NEGATIVE}"]
        made = anchor_targets(grid, box, np.random.default_rng(0))
        counts = [int((made.labels == kind).sum()) for kind in (1, 0, -1)]
        assert counts == golden[f"{name}_counts"].tolist()
        assert made.weights.max() == pytest.approx(float(golden[f"{name}_weight_each"]), rel=1e-5)
    pair = targets_of_a_pair(grid, np.random.default_rng(0))
    assert [int((pair.labels == kind).sum()) for kind in (1, 0)] == golden["negative_pair_counts"].tolist()


@pytest.mark.files("losses*")
def test_scores_and_boxes(golden: Any) -> None:
    scores, labels = golden.tensor("cls_log_prob").permute(0, 4, 1, 2, 3), golden.tensor("cls_label")
    assert float(anchor_score_loss(scores, labels)) == pytest.approx(float(golden["cls_loss"]), rel=1e-5)
    without = labels.masked_fill(labels == 1, -1)
    assert float(anchor_score_loss(scores, without)) == pytest.approx(float(golden["cls_loss_no_positive"]), rel=1e-5)
    boxes = golden.tensor("loc_pred").unflatten(1, (4, -1))
    loss = anchor_box_loss(boxes, golden.tensor("loc_label"), golden.tensor("loc_weight"))
    assert float(loss) == pytest.approx(float(golden["loc_loss"]), rel=1e-5)


@pytest.mark.files("losses*")
def test_masks(golden: Any) -> None:
    draws = np.random.Generator(np.random.PCG64(int(golden["mask_seed"])))
    coarse = torch.from_numpy(draws.standard_normal((1, 3969, 25, 25)).astype(np.float32))
    fine = torch.from_numpy(draws.standard_normal((18, 16129)).astype(np.float32))
    bits = np.unpackbits(golden["mask255_bits"])[: 255 * 255].reshape(1, 255, 255)
    mask = torch.from_numpy(bits.astype(np.float32)) * 2 - 1
    cells = torch.nonzero(golden.tensor("mask_weight_base")[:, 0])
    predicted = coarse[cells[:, 0], :, cells[:, 1], cells[:, 2]].view(-1, 63, 63)
    check(predicted, cell_masks(mask, cells, 25), golden["mask_loss_base"])
    inner = mask[:, 56:199, 56:199]
    both = torch.cat([inner, inner.flip(1)])
    cells = torch.nonzero(golden.tensor("mask_weight_refine")[:, 0])
    every = fine.view(2, 3, 3, 127, 127)
    predicted = every[cells[:, 0], cells[:, 1], cells[:, 2]]
    check(predicted, cell_masks(both, cells, 3), golden["mask_loss_refine"])
    nothing = torch.zeros(0, 127, 127)
    assert float(cell_mask_loss(nothing, nothing)) == golden["mask_loss_none"][0] == 0


def check(predicted: torch.Tensor, targets: torch.Tensor, want: np.ndarray) -> None:
    """The loss, the mean IoU, and the shares of cells above 0.5 and 0.7."""
    assert float(cell_mask_loss(predicted, targets)) == pytest.approx(float(want[0]), rel=1e-5)
    if predicted.shape[-1] != 127:
        predicted = F.interpolate(predicted[None], size=(127, 127), mode="bilinear", align_corners=True)[0]
    found, wanted = predicted >= 0, targets > 0
    overlap = (found & wanted).sum((1, 2)) / (found | wanted).sum((1, 2)).clamp_min(1)
    shares = [float((overlap > least).float().mean()) for least in (0.5, 0.7)]
    assert [float(overlap.mean()), *shares] == pytest.approx(want[1:].tolist(), rel=1e-5, abs=1e-6)
