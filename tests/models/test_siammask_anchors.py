"""Anchors, against a loop over anchors and cells."""

from __future__ import annotations

import numpy as np
import pytest

from univs.models.siammask_anchors import Anchors, centre_grid, centred_grid, corners


def test_the_sizes_of_the_paper() -> None:
    assert Anchors().sizes().tolist() == [[104, 32], [88, 40], [64, 64], [40, 80], [32, 96]]
    assert len(Anchors()) == 5 and len(Anchors(scales=(4, 8))) == 10
    finer = Anchors(ratios=(2,), scales=(1, 10), digits=2)
    assert finer.sizes() == pytest.approx(np.array([[5.66, 11.32], [56.6, 113.2]]))


@pytest.mark.parametrize("cells", [3, 4, 25])
def test_the_grid_is_what_a_loop_makes(cells: int) -> None:
    anchors = Anchors(stride=4, ratios=(0.5, 2), scales=(3, 5))
    grid, flat = centre_grid(anchors, cells, 31), []
    for number, (width, height) in enumerate(anchors.sizes()):
        for row in range(cells):
            for column in range(cells):
                x, y = 31 + (column - cells // 2) * 4, 31 + (row - cells // 2) * 4
                assert grid[:, number, row, column].tolist() == [x, y, width, height]
                flat.append([x - 31, y - 31, width, height])
    assert np.array_equal(centred_grid(anchors, cells), np.array(flat))


def test_corners() -> None:
    assert corners(np.array([10.0, 20, 4, 6])).tolist() == [8, 17, 12, 23]
