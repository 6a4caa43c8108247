from __future__ import annotations

import pytest
import torch

from univs.models.swin import SwinBlock


def test_training_leaves_a_share_of_the_branches_out() -> None:
    torch.manual_seed(0)
    block = SwinBlock(8, heads=2, window=3, shift=0, drop_path=0.25).train()
    x = torch.randn(4000, 1, 1, 8)
    kept = (block._dropped(x) / x)[:, 0, 0]
    left_out, larger = (kept == 0).all(1), ((kept - 4 / 3).abs() < 1e-5).all(1)  # a frame's branch as a whole
    assert (left_out | larger).all()
    assert float(kept.mean()) == pytest.approx(1, abs=0.03)
    assert block.eval()._dropped(x) is x
