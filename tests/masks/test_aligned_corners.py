"""Cells whose corners are those of the frame: sizes, nearest pixels, enlarged maps, against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from univs.masks.aligned_corners import best_labels, cells, enlarged, nearest_labels, nearest_places


@pytest.mark.parametrize(
    ("side", "stride", "count"), [(1, 4, 1), (4, 4, 1), (5, 4, 2), (480, 4, 120), (854, 4, 214), (465, 8, 59)]
)
def test_cells(side: int, stride: int, count: int) -> None:
    assert cells(side, stride) == count == int((side - 1) / stride + 1)


@pytest.mark.parametrize(("source", "target"), [(33, 9), (9, 33), (30, 8), (7, 1), (1, 5), (480, 120)])
def test_nearest_places_are_those_of_the_nearest_pixels(source: int, target: int) -> None:
    places = nearest_places(source, target)
    exact = [i * (source - 1) / (target - 1) if target > 1 else 0 for i in range(target)]
    for place, point in zip(places, exact, strict=True):
        assert 0 <= place < source and abs(place - point) <= 0.5 + 1e-4
    halves = [(place, point) for place, point in zip(places, exact, strict=True) if point % 1 == 0.5]
    assert all(place == math.ceil(point) for place, point in halves), "halves go upwards"


def test_labels_keep_their_corners() -> None:
    labels = torch.arange(2 * 9 * 13).view(2, 9, 13)
    small = nearest_labels(labels, (3, 4))
    assert torch.equal(small, labels[:, ::4, ::4])
    assert torch.equal(nearest_labels(labels, (9, 13)), labels)


def test_the_best_of_enlarged_maps_is_found_one_map_at_a_time() -> None:
    maps = torch.randn(4, 6, 7)
    large = enlarged(maps[None], (23, 26))[0]
    assert torch.equal(large[:, ::22, ::25], maps[:, ::5, ::6]), "corners stay"
    assert torch.equal(best_labels(maps, (23, 26)), large.argmax(0))
    same = maps[:1].expand(3, -1, -1)
    assert not best_labels(same, (23, 26)).any(), "of equal ones the first"
    assert np.array_equal(best_labels(maps, (6, 7)), maps.argmax(0))
