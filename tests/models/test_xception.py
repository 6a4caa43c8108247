"""Xception-65: its plan of strides and dilations, its units against their definition, its size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from univs.models.xception import Unit, Xception65


@pytest.fixture(scope="module")
def backbone() -> Xception65:
    torch.manual_seed(0)
    return Xception65(8).eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("stride", "entry", "middle", "exits"),
    [(8, (1, 1), (1, 2), ((1, 2), (1, 4))), (16, (2, 1), (1, 1), ((1, 1), (1, 2)))],
)
def test_strides_and_dilations(
    backbone: Xception65,
    stride: int,
    entry: tuple[int, int],
    middle: tuple[int, int],
    exits: tuple[tuple[int, int], ...],
) -> None:
    backbone.arrange(stride)
    plan = [
        (int(unit.separable[2].depthwise.stride[0]), int(unit.separable[0].depthwise.dilation[0]))
        for unit in backbone.units
    ]
    assert plan == [(2, 1), (2, 1), entry, *[middle] * 16, *exits]
    low, high = backbone(torch.randn(1, 3, 33, 48))
    assert low.shape == (1, 256, 9, 12) and high.shape == (1, 2048, *((5, 6) if stride == 8 else (3, 3)))
    assert (low < 0).any() and (high >= 0).all()
    with pytest.raises(ValueError, match="output_stride is 32"):
        backbone.arrange(32)


def test_it_has_the_published_number_of_weights(backbone: Xception65) -> None:
    assert sum(value.numel() for value in backbone.parameters()) == pytest.approx(37.87e6, rel=1e-3)


@pytest.mark.parametrize(("shortcut", "active"), [("sum", False), ("conv", False), ("none", True)])
def test_units(shortcut: str, active: bool) -> None:
    torch.manual_seed(1)
    unit = Unit(8, (8, 8, 8), shortcut, active=active).eval().requires_grad_(False)
    x, stride = torch.randn(2, 8, 9, 9), 1 if shortcut == "sum" else 2
    unit.step(stride, 2)
    y, second = x, x
    for number, part in enumerate(unit.separable):
        y = y if active else y.relu()
        step = stride if number == 2 else 1
        for kernel, groups, norm in (
            (part.depthwise.weight, 8, part.depthwise_norm),
            (part.pointwise.weight, 1, part.pointwise_norm),
        ):
            places = {"stride": step, "padding": 2, "dilation": 2} if groups == 8 else {}
            y = F.conv2d(y, kernel, groups=groups, **places) / (1 + 1e-3) ** 0.5
            y = y.relu() if active else y
            assert norm.eps == 1e-3
        second = y if number == 1 else second
    if shortcut == "sum":
        y = y + x
    elif shortcut == "conv":
        y = y + F.conv2d(x, unit.shortcut.weight, stride=2) / (1 + 1e-3) ** 0.5
    for got, want in zip(unit(x), (y, second), strict=True):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)
