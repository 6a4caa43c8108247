"""Parts of DeepLabV3+: which cells a result depends on, and what pooling over the whole map adds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from univs.models.deeplab import PyramidPooling, dilated_resnet50


def reach(part: nn.Module, channels: int, side: int) -> set[int]:
    """How far to the right of the middle a cell may lie that changes the middle of the result."""
    x = torch.rand(1, channels, side, side, requires_grad=True)
    out: Tensor = part(x)
    out[0, :, side // 2, side // 2].sum().backward()
    assert x.grad is not None
    row = x.grad[0, :, side // 2].abs().sum(0)
    return {int(place) - side // 2 for place in row.nonzero().flatten() if place >= side // 2}


def test_each_branch_looks_as_far_as_its_rate() -> None:
    torch.manual_seed(0)
    pooling = PyramidPooling(6, 32, (2, 5), 0.1).eval()
    branches = list(pooling.convs)
    assert [reach(branch, 6, 13) for branch in branches[:3]] == [{0}, {0, 2}, {0, 5}]
    x = torch.rand(2, 6, 13, 13)
    whole = branches[3](x)
    mean = branches[3](x.mean((2, 3), keepdim=True))
    assert torch.allclose(whole, mean, atol=1e-6)
    expected = pooling.project(torch.cat([*(b(x) for b in branches[:3]), mean.expand(-1, -1, 13, 13)], dim=1))
    assert torch.allclose(pooling(x), expected, atol=1e-6)


def test_dilation_takes_the_place_of_stride() -> None:
    for stride, deep in ((16, False), (8, True)):
        body = dilated_resnet50(4, stride, deep_stem=deep).eval()
        low, high = body(torch.rand(1, 4, 64, 96))
        assert low.shape == (1, 256, 16, 24)
        assert high.shape == (1, 2048, 64 // stride, 96 // stride)
