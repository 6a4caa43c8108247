"""Depthwise convolutions tap by tap, against the operator of torch, also where taps fall beside the map."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from univs.models.backbone import FusedConvolution
from univs.models.resnet import NormRelu
from univs.models.wide_depthwise import WideDepthwise


@pytest.mark.parametrize(("height", "width"), [(13, 22), (6, 30), (5, 4), (1, 1)])
@pytest.mark.parametrize("dilation", [1, 6, 12])
def test_taps_one_by_one(height: int, width: int, dilation: int) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 5, height, width), torch.randn(5, 1, 3, 3), torch.randn(5)
    want = F.conv2d(x, weight, bias, padding=dilation, dilation=dilation, groups=5).relu()
    torch.testing.assert_close(WideDepthwise(weight, bias, dilation)(x), want, atol=1e-5, rtol=1e-5)


def test_in_place_of_a_fused_convolution() -> None:
    torch.manual_seed(1)
    convolution = nn.Conv2d(6, 6, 3, padding=7, dilation=7, groups=6, bias=False)
    norm = NormRelu(6).eval()
    for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(value, 0.5, 2)  # type: ignore[arg-type]
    x = torch.randn(1, 6, 20, 17)
    with torch.no_grad():
        fused = FusedConvolution(convolution, norm)
        torch.testing.assert_close(WideDepthwise.of(fused)(x), norm(convolution(x)), atol=1e-5, rtol=1e-5)
