"""Anchors, crops and boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from univs.models.siammask_anchors import Anchors, centre_grid, centred_grid, corners
from univs.models.siammask_crops import axis_aligned, channel_mean, square

pytestmark = pytest.mark.conformance
GRIDS: dict[str, tuple[Anchors, int, int]] = {
    "official": (Anchors(), 25, 127),
    "refine_training": (Anchors(), 3, 71),
    "other": (Anchors(ratios=(0.5, 1, 2), scales=(4, 8), digits=2), 7, 63),
}
"""What the README says: anchors, cells to a side, pixel of the middle cell."""


@pytest.mark.files("anchors*")
@pytest.mark.parametrize("name", GRIDS)
def test_anchors(golden: Any, name: str) -> None:
    anchors, cells, middle = GRIDS[name]
    sizes = anchors.sizes()
    golden.check(f"{name}_corner", np.concatenate([-sizes / 2, sizes / 2], 1), 1e-5)
    golden.check(f"{name}_tracker", centred_grid(anchors, cells), 1e-5)
    grid = centre_grid(anchors, cells, middle)
    golden.check(f"{name}_all_center", grid, 1e-3)
    golden.check(f"{name}_all_corner", corners(grid), 1e-3)


@pytest.mark.files("crops*")
def test_crops(golden: Any) -> None:
    image = golden["image_bgr_u8"]
    mean = channel_mean(image)
    assert np.array_equal(mean, golden["channel_mean"].astype(np.uint8))
    for number, (x, y, out, side) in enumerate(golden["cases"]):
        crop = square(image, (x, y), int(side), int(out), mean)
        want = golden[f"crop_{number}"]
        crop = crop[::2, ::2] if want.shape[0] != out else crop
        differences = np.abs(crop.astype(int) - want.astype(int))
        print(f"{golden.name} crop {number}: largest {differences.max()}, share {(differences > 0).mean():.2e}")
        assert differences.max() <= 1 and (differences > 0).mean() <= 0.01


@pytest.mark.files("crops*")
def test_upright_boxes_of_rotated_ones(golden: Any) -> None:
    for polygon, want in zip(golden["polygons"], golden["axis_aligned"], strict=True):
        assert axis_aligned(polygon) == pytest.approx(tuple(want), rel=1e-5)
