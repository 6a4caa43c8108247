"""What anchors are to say, against a loop over anchors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from univs.losses.siammask_targets import (
    anchor_deltas,
    anchor_overlaps,
    anchor_targets,
    some,
    targets_of_a_pair,
)
from univs.models.siammask_anchors import Anchors, centre_grid

GRID = centre_grid(Anchors(), 9, 40)
BOX = np.array([20.0, 10, 60, 55])


def test_overlaps_and_deltas_are_those_of_a_loop() -> None:
    overlaps, deltas = anchor_overlaps(GRID, BOX), anchor_deltas(GRID, BOX)
    for number in range(5):
        for row in range(0, 9, 2):
            for column in range(9):
                x, y, width, height = GRID[:, number, row, column]
                across = min(x + width / 2, 60) - max(x - width / 2, 20)
                down = min(y + height / 2, 55) - max(y - height / 2, 10)
                shared = max(across, 0) * max(down, 0)
                assert overlaps[number, row, column] == pytest.approx(shared / (width * height + 40 * 45 - shared))
                want = ((40 - x) / width, (32.5 - y) / height, math.log(40 / width), math.log(45 / height))
                assert deltas[:, number, row, column] == pytest.approx(want)


def test_a_decoded_target_is_the_box() -> None:
    made, draws = anchor_deltas(GRID, BOX), np.random.default_rng(0)
    place = tuple(int(draws.integers(side)) for side in GRID.shape[1:])
    x, y, width, height = GRID[(slice(None), *place)]
    dx, dy, w, h = made[(slice(None), *place)]
    middle, size = (x + dx * width, y + dy * height), (width * math.exp(w), height * math.exp(h))
    assert (*middle, *size) == pytest.approx((40, 32.5, 40, 45))


def test_who_counts() -> None:
    box = np.array([8.0, 8, 72, 66])
    overlaps = anchor_overlaps(GRID, box)
    made = anchor_targets(GRID, box, np.random.default_rng(1))
    assert (overlaps[made.labels == 1] > 0.6).all() and (overlaps[made.labels == 0] < 0.3).all()
    positive = int((made.labels == 1).sum())
    assert 0 < positive <= 16 and (made.labels >= 0).sum() == 64
    assert made.weights.sum() == pytest.approx(1, rel=1e-4) and ((made.weights > 0) == (made.labels == 1)).all()
    wide = centre_grid(Anchors(stride=1, scales=(64.0,), digits=3), 40, 40)
    assert (anchor_targets(wide, np.array([8.0, 8, 72, 72]), np.random.default_rng(0)).labels == 1).sum() == 16


def test_every_anchor_has_its_turn() -> None:
    """Over many draws: all that overlap by more than 0.6 hold the object, all by less than 0.3 do not."""
    box = np.array([8.0, 8, 72, 66])
    overlaps, held = anchor_overlaps(GRID, box), np.zeros((2, *GRID.shape[1:]), bool)
    for seed in range(150):
        labels = anchor_targets(GRID, box, np.random.default_rng(seed)).labels
        held |= labels == np.array([0, 1]).reshape(2, 1, 1, 1)
        assert [(labels == kind).sum() for kind in (0, 1)] == [64 - (overlaps > 0.6).sum(), (overlaps > 0.6).sum()]
    assert np.array_equal(held, [overlaps < 0.3, overlaps > 0.6])
    assert ((overlaps > 0.2) & (overlaps < 0.3)).any() and ((overlaps > 0.5) & (overlaps < 0.6)).any()
    nobody, near = np.zeros(GRID.shape[1:], bool), np.zeros(GRID.shape[1:], bool)
    near[:, 1:8, 1:8] = True
    for seed in range(150):
        nobody |= targets_of_a_pair(GRID, np.random.default_rng(seed)).labels == 0
    assert np.array_equal(nobody, near), "of a crop around something else those at most 3 cells from the middle"


def test_around_something_else_nobody_holds_it() -> None:
    made = targets_of_a_pair(GRID, np.random.default_rng(0))
    assert not (made.labels == 1).any() and (made.labels == 0).sum() == 16 and not made.weights.any()
    _, rows, columns = np.nonzero(made.labels == 0)
    assert np.abs(rows - 4).max() <= 3 and np.abs(columns - 4).max() <= 3


def test_some_of_few_are_all() -> None:
    places = np.arange(5)
    assert some(places, 5, np.random.default_rng(0)) is places
    chosen = some(places, 3, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == 3
