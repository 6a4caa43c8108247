"""The semantic map of a frame against the formula on whole maps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from univs.masks.geometry import Geometry
from univs.trackers.semantic import classify, strips


@pytest.mark.parametrize("geometry", [Geometry.fit(90, 130), Geometry.fit(61, 75, 90), Geometry.fit(200, 300, 70)])
def test_bands_are_the_enlarged_map(geometry: Geometry) -> None:
    height, width = (side // 4 for side in geometry.padded)
    logits = torch.randn(5, height, width, generator=torch.manual_seed(0))
    whole = F.interpolate(logits[None], scale_factor=4, mode="bilinear", align_corners=False)
    whole = whole[..., : geometry.input_height, : geometry.input_width]
    whole = F.interpolate(whole, size=(geometry.height, geometry.width), mode="nearest")[0]
    assert torch.allclose(torch.cat(list(strips(logits, geometry)), 1), whole, atol=1e-6)

    scores = torch.rand(5, 7, generator=torch.manual_seed(1))
    wanted = torch.einsum("qk,qyx->kyx", scores, whole.sigmoid()).argmax(0) + 1
    found = classify(logits, scores, geometry)
    assert found.dtype == torch.uint8
    assert (found != wanted).float().mean() < 1e-4  # a tie may fall on either side
