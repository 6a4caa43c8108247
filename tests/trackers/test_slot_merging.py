"""Slots become labels, against loops over pixels and all assignments. (Official figures: tests/conformance/rvos.)"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from univs.trackers.slot_merging import assigned, misfit, nearest, painted, slot_costs

RNG = np.random.default_rng(0)


def test_masks_are_resized_by_their_nearest_centres() -> None:
    mask = RNG.random((7, 11)) > 0.5
    large = nearest(mask, (20, 37))
    for y, x in np.ndindex(20, 37):
        assert large[y, x] == mask[int((y + 0.5) * 7 / 20), int((x + 0.5) * 11 / 37)]
    assert nearest(mask, (7, 11)) is mask
    assert large.dtype == bool and nearest(large, (5, 9)).shape == (5, 9)


def test_misfit_is_one_minus_iou() -> None:
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert misfit(a, b) == 0, "two empty masks are alike"
    a[:2], b[1:] = True, True
    assert misfit(a, b) == pytest.approx(1 - 4 / 16) and misfit(a, np.zeros((4, 4), bool)) == 1


def test_known_objects_keep_their_slots_and_absent_ones_want_none() -> None:
    slots = [RNG.random((6, 8)) > 0.6 for _ in range(4)]
    given = {3: slots[2] | (RNG.random((6, 8)) > 0.9)}
    costs = slot_costs([1, 2, 3], given, slots, {1: 3})
    assert costs[0].tolist() == [1, 1, 1, 0] and costs[1].tolist() == [1, 1, 1, 1]
    assert costs[2].tolist() == [misfit(given[3], slot) for slot in slots]
    found = assigned(costs)
    assert found[0] == 3 and found[2] == 2 and len(set(found)) == 3


def test_the_assignment_is_the_cheapest_of_all() -> None:
    costs = RNG.random((3, 5))
    best = min(permutations(range(5), 3), key=lambda slots: sum(costs[row, slot] for row, slot in enumerate(slots)))
    assert assigned(costs) == list(best)


def test_who_fitted_best_is_in_front_and_given_masks_are_right() -> None:
    everywhere, half = np.ones((4, 6), bool), np.zeros((4, 6), bool)
    half[:2] = True
    shown = np.zeros((8, 12), bool)
    shown[:, :3] = True
    masks = {1: everywhere, 2: half, 5: everywhere}
    labels = painted(masks, {1: 0.2, 2: 0.1, 5: 0.3}, {7: shown}, (8, 12))
    want = np.ones((8, 12), int)
    want[:4], want[:, :3] = 2, 7
    assert np.array_equal(labels, want)
    swapped = painted({1: everywhere, 5: everywhere}, {1: 0.3, 5: 0.3}, {}, (8, 12))
    assert (swapped == 5).all(), "of equal ones the larger id"
    assert painted({300: half}, {300: 0.0}, {}, (4, 6)).max() == 300
