"""Enlarging maps piece by piece and at once."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from univs.masks.geometry import Geometry
from univs.masks.strips import input_strips, padded_strips, resettled, upsampled


def test_resettling_is_enlarging_and_shrinking_again() -> None:
    maps = torch.randn(2, 5, 7, generator=torch.manual_seed(3))
    large = upsampled(maps)
    assert large.shape == (2, 20, 28)
    wanted = F.interpolate(large[None], size=(5, 7), mode="bilinear", align_corners=False)[0]
    assert torch.allclose(resettled(maps), wanted, atol=1e-6)


@pytest.mark.parametrize(("rows", "tops"), [(20, [0, 32, 64]), (8, [0]), (9, [0, 32]), (3, [0])])
def test_strips_are_the_enlarged_map(rows: int, tops: list[int]) -> None:
    maps = torch.randn(2, rows, 7, generator=torch.manual_seed(rows))
    pieces = list(padded_strips(maps))
    assert [top for top, _ in pieces] == tops and all(strip.shape[1] <= 32 for _, strip in pieces)
    assert torch.allclose(torch.cat([strip for _, strip in pieces], 1), upsampled(maps), atol=1e-6)


@pytest.mark.parametrize(
    ("geometry", "tops"),
    [(Geometry.fit(61, 50), [0, 32]), (Geometry.fit(64, 64, None, 128), [0, 32]), (Geometry.fit(33, 20), [0, 32])],
)
def test_strips_of_the_input_have_no_padding(geometry: Geometry, tops: list[int]) -> None:
    height, width = (side // 4 for side in geometry.padded)
    maps = torch.randn(3, height, width, generator=torch.manual_seed(1))
    pieces = list(input_strips(maps, geometry))
    assert [top for top, _ in pieces] == tops
    whole = upsampled(maps)[:, : geometry.input_height, : geometry.input_width]
    assert torch.allclose(torch.cat([strip for _, strip in pieces], 1), whole, atol=1e-6)
