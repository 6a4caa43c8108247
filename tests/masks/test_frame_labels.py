"""Soft aggregation by hand; labels against maps that are enlarged whole, in one step, by torch."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from univs.masks import frame_labels
from univs.masks.frame_labels import (
    axes,
    label_map,
    label_type,
    largest,
    leaders,
    mask_of,
    painted,
    seams,
    soft_aggregate,
    to_logits,
)
from univs.masks.geometry import MASK_STRIDE, Geometry

SIZES = [(240, 427, None), (33, 31, None), (5, 7, None), (240, 427, 480), (101, 53, 37), (17, 300, 32), (270, 480, 120)]


def test_joint_probabilities_are_normalised_odds() -> None:
    probabilities = torch.tensor([0.9, 0.4, 0.2]).view(3, 1, 1)
    absent = (1 - probabilities).prod()
    everybody = torch.cat([absent.view(1, 1, 1), probabilities])
    odds = everybody / (1 - everybody)
    joint = soft_aggregate(to_logits(probabilities)).softmax(0)
    torch.testing.assert_close(joint, odds / odds.sum())


def test_one_object_is_decided_at_one_half() -> None:
    logits = torch.tensor([-300.0, -30.0, -0.01, 0.01, 30.0, 300.0]).view(1, 1, 6)
    log_odds = soft_aggregate(logits)
    assert log_odds.isfinite().all()
    torch.testing.assert_close(log_odds[0, 0, 1:5], -logits[0, 0, 1:5], atol=1e-4, rtol=1e-4)
    assert (log_odds[1] > log_odds[0]).tolist() == [[False, False, False, True, True, True]]


def test_given_masks_are_almost_certain() -> None:
    assert to_logits(torch.tensor([0.0, 0.5, 1.0])).sigmoid().tolist() == pytest.approx([1e-7, 0.5, 1 - 1e-7], rel=0.1)
    for logit in (-40.0, 0.0, 60.0):  # as far as floats go, the odds of the background are the object's, turned round
        background, _ = soft_aggregate(torch.full((1, 1, 1), logit))
        assert float(background) == pytest.approx(-logit, abs=1e-4)


def test_sure_objects_still_compete() -> None:
    log_odds = soft_aggregate(torch.tensor([40.0, 50.0]).view(2, 1, 1))
    assert int(log_odds[:, 0, 0].argmax()) == 2


def test_gradients_are_finite_for_sure_logits() -> None:
    logits = torch.tensor([-200.0, -20.0, 0.0, 20.0, 200.0]).view(1, 1, 5).requires_grad_()
    soft_aggregate(logits).softmax(0).square().sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_aggregation_does_not_depend_on_the_order_of_objects() -> None:
    torch.manual_seed(0)
    logits = 4 * torch.randn(3, 5, 5)
    order = [2, 0, 1]
    torch.testing.assert_close(soft_aggregate(logits[order])[1:], soft_aggregate(logits)[1:][order])
    torch.testing.assert_close(soft_aggregate(logits[order])[0], soft_aggregate(logits)[0])


def enlarged(logits: Tensor, geometry: Geometry) -> Tensor:
    """P H'/4 W'/4 -> P H W: bilinear, the padding cut off."""
    rows, columns = geometry.cells
    scale = (MASK_STRIDE * geometry.height / geometry.input_height, MASK_STRIDE * geometry.width / geometry.input_width)
    needed = (math.floor(rows * scale[0]) >= geometry.height, math.floor(columns * scale[1]) >= geometry.width)
    pad = (0, 0 if needed[1] else 1, 0, 0 if needed[0] else 1)
    maps = F.pad(logits[None, :, :rows, :columns], pad, mode="replicate")
    large = F.interpolate(maps, scale_factor=scale, mode="bilinear", align_corners=False, recompute_scale_factor=False)
    return large[0, :, : geometry.height, : geometry.width]


def smooth(count: int, geometry: Geometry, seed: int, cells: int = 6) -> Tensor:
    """Maps with a few regions each."""
    height, width = (side // MASK_STRIDE for side in geometry.padded)
    coarse = torch.randn(1, count, cells, cells, generator=torch.Generator().manual_seed(seed)) * 5
    return F.interpolate(coarse, (height, width), mode="bicubic")[0]


def agree(labels: np.ndarray, ids: list[int], whole: Tensor) -> None:
    """Equal but where the two largest are equal as far as rounding goes."""
    expected = np.array(ids)[whole.argmax(0).numpy()]
    first, second = whole.topk(2, 0).values.numpy()
    wrong = labels != expected
    assert not (wrong & (first - second > 1e-5)).any()
    assert wrong.mean() < 1e-4


@pytest.mark.parametrize(("height", "width", "short"), SIZES)
@pytest.mark.parametrize("objects", [1, 2, 7, 40])
def test_labels_are_those_of_the_enlarged_maps(height: int, width: int, short: int | None, objects: int) -> None:
    geometry = Geometry.fit(height, width, short)
    ids = [0, *range(3, 3 + objects)]
    for seed, cells in ((0, 3), (1, 6), (2, 40)):  # 40: seams everywhere
        maps = smooth(objects + 1, geometry, seed, cells)
        labels = label_map(maps, ids[1:], geometry)
        assert labels.shape == (height, width) and labels.dtype == np.uint8
        agree(labels, ids, enlarged(maps, geometry))


@pytest.mark.parametrize(("height", "width", "short"), SIZES)
def test_a_mask_is_where_its_enlarged_logits_are_positive(height: int, width: int, short: int | None) -> None:
    geometry = Geometry.fit(height, width, short)
    (logits,) = smooth(1, geometry, 3)
    whole = enlarged(logits[None], geometry)
    mask = mask_of(logits, geometry)
    assert mask.dtype == bool
    agree(mask.astype(int), [0, 1], torch.cat([torch.zeros_like(whole), whole]))


def test_each_pixel_lies_in_its_place() -> None:
    geometry = Geometry.fit(101, 53, 37)
    down, _ = axes(geometry)
    places = np.repeat(np.arange(len(down.counts)), down.counts) + down.weights
    centres = (np.arange(101) + 0.5) * geometry.input_height / 101 / MASK_STRIDE - 0.5
    assert np.allclose(places, centres.clip(0), atol=1e-4)  # beyond the last cell the next one is that cell again
    assert down.counts.sum() == 101


def test_the_first_of_equals_counts_and_nobody_is_background() -> None:
    geometry = Geometry.fit(64, 96)
    assert not label_map(torch.zeros(3, 16, 24), [4, 5], geometry).any()
    tied = torch.stack([torch.full((16, 24), -1.0), torch.ones(16, 24), torch.ones(16, 24)])
    assert (label_map(tied, [4, 5], geometry) == 4).all()
    assert not label_map(torch.zeros(1, 16, 24), [], geometry).any()


def test_wide_ids_keep_their_type() -> None:
    labels = label_map(torch.stack([torch.zeros(16, 24), torch.ones(16, 24)]), [70000], Geometry.fit(64, 96), np.int32)
    assert labels.dtype == np.int32 and (labels == 70000).all()


def test_ids_have_the_smallest_type_that_holds_them() -> None:
    assert [label_type(ids) for ids in ([], [255], [256, 1])] == [np.uint8, np.uint8, np.int32]


def test_of_masks_that_overlap_the_later_wins() -> None:
    masks = {7: np.array([[True, True, False]]), 3: np.array([[False, True, True]])}
    assert painted(masks, (1, 3)).tolist() == [[7, 7, 3]]  # the larger id
    assert painted(masks, (1, 3), [7, 3]).tolist() == [[7, 3, 3]]
    assert painted({300: masks[7]}, (1, 3)).tolist() == [[300, 300, 0]] and not painted({}, (1, 3)).any()


def test_only_seams_are_looked_at() -> None:
    maps = np.zeros((2, 40, 60), np.float32)
    maps[1, :, :30], maps[1, :, 30:] = 3, -3
    looked_at = seams(*leaders(maps))
    assert looked_at[:, 29].all() and looked_at.sum() == 40


def test_what_leads_at_no_cell_may_lead_between_them() -> None:
    """Half way between 10 and 0 is less than 6."""
    geometry = Geometry.fit(64, 96)
    maps = torch.full((5, 16, 24), -3.0)
    maps[0, :, :12], maps[3, :, 12:], maps[1] = 10, 10, 6
    labels = largest(maps, np.arange(5), geometry)
    agree(labels, [0, 1, 2, 3, 4], enlarged(maps, geometry))
    assert set(np.unique(labels)) == {0, 1, 3}


def test_names_that_are_far_behind_are_not_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ninety more of them cost no blend more."""
    geometry, blended, blend = Geometry.fit(64, 96), [0], frame_labels._blend
    maps = smooth(3, geometry, 5)

    def counted(left: np.ndarray, right: np.ndarray, share: np.ndarray) -> np.ndarray:
        blended[-1] += len(left)
        return blend(left, right, share)

    monkeypatch.setattr(frame_labels, "_blend", counted)
    few = largest(maps, np.arange(3), geometry)
    blended.append(0)
    behind = maps.amin() - 1 - torch.rand(90, *maps.shape[1:], generator=torch.manual_seed(0))
    assert (largest(torch.cat([maps, behind]), np.arange(93), geometry) == few).all()
    assert blended[0] == blended[1] > 0


def test_a_large_frame_costs_little_more_than_its_copy() -> None:
    geometry = Geometry.fit(1080, 1920, 480)
    maps = smooth(3, geometry, 0, 3)
    whole, ours = [], []
    for _ in range(2):
        start = time.process_time()
        enlarged(maps, geometry).argmax(0)
        whole.append(time.process_time() - start)
        start = time.process_time()
        label_map(maps, [1, 2], geometry)
        ours.append(time.process_time() - start)
    assert min(ours) < min(whole) / 2
