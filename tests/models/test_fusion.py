"""The fusion network against its formula, written out."""

from __future__ import annotations

import torch

from univs.models.fusion import INPUTS, FusionNetwork


def test_two_residual_blocks_between_two_convolutions() -> None:
    torch.manual_seed(0)
    network = FusionNetwork().double()
    x = torch.randn(2, INPUTS, 7, 9, dtype=torch.double)
    weights = network.state_dict()

    def convolve(name: str, x: torch.Tensor) -> torch.Tensor:
        columns = torch.nn.functional.unfold(x, 3, padding=1)
        out = weights[f"{name}.weight"].flatten(1) @ columns + weights[f"{name}.bias"][:, None]
        return out.reshape(len(x), -1, *x.shape[2:])

    y = convolve("conv1.0", x).clamp(min=0)
    for block in ("conv2", "conv3"):
        y = (y + convolve(f"{block}.2", convolve(f"{block}.0", y).clamp(min=0))).clamp(min=0)
    assert torch.allclose(network(x), convolve("final_conv", y), atol=1e-12)
    assert len(weights) == 12
