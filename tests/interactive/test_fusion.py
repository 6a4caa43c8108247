"""Fusion: shares of time, what changed, and what becomes of two masks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from univs.interactive.fusion import Change, TimeShares, TwoMasks, changes, fused, learned, linear, time_shares
from univs.interactive.propagation import CarriedFrame, SeenFrame
from univs.masks.soft_aggregation import joint_probabilities
from univs.models.fusion import FusionNetwork
from univs.models.space_time_decoder import Skips
from univs.models.space_time_memory import QueryFeatures, aligned

QUERY = QueryFeatures(torch.randn(1, 4, 2, 3), torch.zeros(1, 6, 2, 3), Skips(torch.zeros(1), torch.zeros(1)))


SEEN = SeenFrame(torch.randn(1, 3, 32, 48), QUERY)


def two_masks() -> TwoMasks:
    torch.manual_seed(0)
    changed = [Change(torch.rand(32, 48), torch.rand(32, 48), torch.randn(6, 4)) for _ in range(2)]
    return TwoMasks(SEEN, torch.rand(2, 32, 48), torch.rand(2, 32, 48), changed, TimeShares(0.25, 0.75))


def test_shares_of_time() -> None:
    assert time_shares(7, 2, 8) == TimeShares(pytest.approx(5 / 6), pytest.approx(1 / 6))
    assert time_shares(6, 8, 5) == TimeShares(pytest.approx(2 / 3), pytest.approx(1 / 3))


def test_what_was_added_and_what_was_taken_away() -> None:
    added, taken = changes(torch.tensor([[[0.2, 1.0, 0.5]]]), torch.tensor([[[1.0, 0.0, 0.5]]]))
    torch.testing.assert_close(added, torch.tensor([[[0.8, 0.0, 0.0]]]))
    torch.testing.assert_close(taken, torch.tensor([[[0.0, 1.0, 0.0]]]))


def test_the_nearer_mask_counts_the_more() -> None:
    masks = two_masks()
    torch.testing.assert_close(linear(masks), 0.25 * masks.current + 0.75 * masks.previous)


def test_the_network_sees_nine_planes_of_each_object() -> None:
    seen: list[Tensor] = []

    class Network(FusionNetwork):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x[:, 4:5] * 3

    masks = two_masks()
    out = learned(Network())(masks)
    torch.testing.assert_close(out, (3 * masks.current).sigmoid())
    for row, planes in enumerate(seen):
        change = masks.changes[row]
        assert change.key is not None
        moved = aligned(QUERY.key, change.key, torch.stack([change.positive, change.negative]))
        times = torch.tensor([0.25, 0.75])[:, None, None].expand(2, 32, 48)
        want = torch.cat([SEEN.images[0], masks.previous[row][None], masks.current[row][None], moved, times])
        torch.testing.assert_close(planes[0], want)


def test_objects_that_had_nothing_stay_as_carried() -> None:
    alone = torch.rand(3, 32, 48)
    joint = joint_probabilities(alone)
    frame = CarriedFrame(6, joint, 8, SEEN)
    change = Change(torch.rand(32, 48), torch.rand(32, 48), torch.randn(6, 4))
    previous = {7: torch.rand(32, 48), 9: torch.rand(32, 48)}
    asked: list[TwoMasks] = []

    def fusion(masks: TwoMasks) -> Tensor:
        asked.append(masks)
        return masks.previous

    out = fused(fusion, frame, 5, [7, 8, 9], previous, {7: change, 8: change})
    want = joint_probabilities(torch.stack([previous[7], joint[2], joint[3]]))[1:]
    torch.testing.assert_close(out, want)
    (masks,) = asked
    assert masks.seen is SEEN and masks.shares == time_shares(6, 8, 5) and masks.changes == [change]
    torch.testing.assert_close(masks.current, joint[1:2])
    assert torch.equal(fused(fusion, frame, 5, [7, 8, 9], {}, {7: change}), joint[1:])
    free = CarriedFrame(6, joint, None, SEEN)
    assert torch.equal(fused(fusion, free, 5, [7, 8, 9], previous, {7: change}), joint[1:])
