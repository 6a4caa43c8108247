"""Enlarging maps piece by piece and at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from univs.masks.strips import resettled, upsampled


def test_resettling_is_enlarging_and_shrinking_again() -> None:
    maps = torch.randn(2, 5, 7, generator=torch.manual_seed(3))
    large = upsampled(maps)
    assert large.shape == (2, 20, 28)
    wanted = F.interpolate(large[None], size=(5, 7), mode="bilinear", align_corners=False)[0]
    assert torch.allclose(resettled(maps), wanted, atol=1e-6)
