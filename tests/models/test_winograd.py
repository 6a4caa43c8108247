"""Fast convolutions against plain ones."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from univs.models.winograd import INPUT, KERNEL, OUTPUT, WinogradConvolution, use_winograd


def test_the_matrices_are_those_of_the_paper() -> None:
    """A line of six values and a kernel of three: four results, exactly."""
    draws = torch.Generator().manual_seed(0)
    line = torch.randn(6, generator=draws, dtype=torch.float64)
    kernel = torch.randn(3, generator=draws, dtype=torch.float64)
    made = OUTPUT @ ((KERNEL @ kernel) * (INPUT @ line))
    want = torch.stack([(line[place : place + 3] * kernel).sum() for place in range(4)])
    torch.testing.assert_close(made, want, atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize("size", [(8, 12), (9, 5), (1, 1), (30, 54), (7, 40)])
@pytest.mark.parametrize("bias", [True, False])
def test_results_are_those_of_the_convolution(
    size: tuple[int, int], bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(5, 7, 3, padding=1, bias=bias).requires_grad_(False)
    monkeypatch.setattr("univs.models.winograd.TILES_AT_ONCE", 6)
    fast, x = WinogradConvolution(plain), torch.randn(2, 5, *size)
    for given in (x, x.contiguous(memory_format=torch.channels_last), F.pad(x, (2, 2))[..., 2:-2]):
        want = plain(given)
        got = fast(given)
        assert got.shape == want.shape
        assert (got - want).abs().max() <= 3e-5 * want.abs().max()


def test_it_takes_the_place_of_large_convolutions_alone() -> None:
    plain = nn.Sequential(
        nn.Conv2d(128, 128, 3, padding=1),
        nn.Conv2d(128, 128, 3, 2, padding=1),
        nn.Conv2d(128, 128, 3),
        nn.Conv2d(128, 128, 1),
        nn.Conv2d(128, 128, 3, padding=1, groups=2),
        nn.Conv2d(128, 128, 3, padding=2, dilation=2),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.Conv2d(128, 1, 3, padding=1),
        nn.Conv2d(128, 128, 3, padding=1, padding_mode="reflect"),
        nn.Sequential(nn.ReLU(), nn.Conv2d(128, 256, 3, padding=1)),
    )
    fast = copy.deepcopy(plain)
    use_winograd(fast)
    places = [name for name, module in fast.named_modules() if isinstance(module, WinogradConvolution)]
    assert places == ["0", "9.1"]
    torch.testing.assert_close(fast[0](torch.ones(1, 128, 6, 6)), plain[0](torch.ones(1, 128, 6, 6)), atol=1e-4, rtol=0)
