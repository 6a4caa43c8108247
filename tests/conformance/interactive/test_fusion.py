"""The fusion network against the golden figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from univs.models.fusion import FusionNetwork

pytestmark = pytest.mark.conformance


@pytest.fixture(scope="module")
def fusion(golden_tensors: Callable[[str], dict[str, Tensor]]) -> FusionNetwork:
    network = FusionNetwork().eval().requires_grad_(False)
    network.load_state_dict(golden_tensors("fusion_network"))  # nothing missing, nothing left over
    return network


@pytest.mark.files("fusion_forward*")
def test_logits_of_fused_masks(golden: Any, fusion: FusionNetwork) -> None:
    planes = [golden.tensor(name)[None] for name in ("seg_prev", "seg_curr", "attn_pos", "attn_neg")]
    numbers = [name.removeprefix("nc_nr_") for name in golden if name.startswith("nc_nr_")]
    assert numbers
    for number in numbers:
        shares = golden.tensor(f"nc_nr_{number}")[:, None, None].expand(2, *planes[0].shape[1:])
        x = torch.cat([golden.images()[0], *planes, shares])[None]
        golden.check_features(f"logits_{number}", fusion(x))
