"""Refined masks of chosen cells, against windows that are cut pixel by pixel."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.models.siammask_refinement import Refinement, beside_deepest, windows


@pytest.mark.parametrize(("count", "side", "step", "size"), [(25, 15, 1, 31), (3, 31, 2, 35), (25, 61, 4, 125)])
def test_windows_are_cut_around_their_cells(count: int, side: int, step: int, size: int) -> None:
    maps = torch.rand(2, 3, size, size)
    reach = ((count - 1) * step + side - size) // 2
    cells = torch.tensor([[0, 0, 0], [1, count - 1, 1], [1, count // 2, count - 1]])
    for (row, y, x), got in zip(cells.tolist(), windows(maps, cells, count, side, step), strict=True):
        for down in range(0, side, 7):
            for across in range(0, side, 7):
                at = y * step - reach + down, x * step - reach + across
                inside = all(0 <= place < size for place in at)
                want = maps[row, :, at[0], at[1]] if inside else torch.zeros(3)
                assert torch.equal(got[:, down, across], want)


def test_all_windows_together_are_centred_on_the_map() -> None:
    """What lies around the middle cell is the middle of the map."""
    maps = torch.rand(1, 1, 31, 31)
    assert torch.equal(windows(maps, torch.tensor([[0, 12, 12]]), 25, 15, 1)[0], maps[0, :, 8:23, 8:23])


def twice(convolutions: nn.Module, x: Tensor) -> Tensor:
    """Two convolutions, each with what is negative left out."""
    first, second = (module for module in convolutions.children() if isinstance(module, nn.Conv2d))
    for one in (first, second):
        x = F.conv2d(x, one.weight, one.bias, padding=1).clamp_min(0)
    return x


def test_merges_go_from_coarse_to_fine() -> None:
    torch.manual_seed(0)
    made = Refinement(6, (5, 7, 9), middle=(3, 4, 5), widths=(2, 3, 4)).requires_grad_(False)
    maps = [torch.randn(2, 5, 125, 125), torch.randn(2, 7, 63, 63), torch.randn(2, 9, 31, 31)]
    responses, cells = torch.randn(3, 6), torch.tensor([[0, 3, 20], [1, 12, 12], [1, 24, 0]])
    got = made(responses, maps, cells, 25)
    assert got.shape == (3, 127, 127)
    for number in range(3):
        x = made.deconv(responses[number].view(1, 6, 1, 1))
        row, y, x0 = cells[number].tolist()
        for place, (seen, pad, side, step, size) in enumerate(
            ((maps[2], 4, 15, 1, 31), (maps[1], 8, 31, 2, 61), (maps[0], 16, 61, 4, 127))
        ):
            around = F.pad(seen[[row]], (pad,) * 4)[..., y * step : y * step + side, x0 * step : x0 * step + side]
            x = F.interpolate(
                twice(made.running[place], x) + twice(made.beside[place], around), (size, size), mode="nearest"
            )
            x = made.after[place](x)
        torch.testing.assert_close(got[number], x[0, 0], atol=1e-5, rtol=1e-4)


def test_gradients_of_windows_that_overlap_add_up() -> None:
    maps = torch.rand(2, 3, 31, 31, requires_grad=True)
    cells, weights = torch.tensor([[0, 12, 12], [0, 13, 12], [1, 0, 24]]), torch.rand(3, 3, 15, 15)
    (got,) = torch.autograd.grad((windows(maps, cells, 25, 15, 1) * weights).sum(), maps)
    padded = F.pad(maps, (4,) * 4)
    cut = [padded[row, :, y : y + 15, x : x + 15] for row, y, x in cells.tolist()]
    (want,) = torch.autograd.grad((torch.stack(cut) * weights).sum(), maps)
    torch.testing.assert_close(got, want)


def test_deeper_maps_stand_beside_the_last_one_around_its_middle() -> None:
    maps, deeper = [torch.rand(2, 3, 9, 9), torch.rand(2, 4, 7, 7)], [torch.rand(2, 5, 7, 7), torch.rand(2, 6, 3, 3)]
    first, last = beside_deepest(maps, *deeper)
    assert first is maps[0] and last.shape == (2, 15, 7, 7)
    assert torch.equal(last[:, :4], maps[1]) and torch.equal(last[:, 4:9], deeper[0])
    assert torch.equal(last[:, 9:, 2:5, 2:5], deeper[1])
    assert float(last[:, 9:].sum()) == pytest.approx(float(deeper[1].sum()))


def test_a_deep_refinement_sees_twice_the_width_more() -> None:
    torch.manual_seed(0)
    made = Refinement(6, (5, 7, 9), middle=(3, 4, 5), widths=(2, 3, 4), deep=True).requires_grad_(False)
    maps = [torch.randn(1, 5, 125, 125), torch.randn(1, 7, 63, 63), torch.randn(1, 9, 31, 31)]
    seen, correlated = torch.randn(1, 6, 31, 31), torch.randn(1, 6, 25, 25)
    cells, response = torch.tensor([[0, 12, 12]]), torch.randn(1, 6)
    got = made(response, beside_deepest(maps, seen, correlated), cells, 25)
    near, alike = seen.clone(), correlated.clone()
    near[..., 15, 15] += 1  # where the middle cell is, 3 cells further than in the correlation
    alike[..., 12, 12] += 1
    assert not torch.allclose(made(response, beside_deepest(maps, near, correlated), cells, 25), got)
    assert not torch.allclose(made(response, beside_deepest(maps, seen, alike), cells, 25), got)
    far = seen.clone()
    far[..., 0, 0] += 1  # 15 cells away, and the window reaches 7
    torch.testing.assert_close(made(response, beside_deepest(maps, far, correlated), cells, 25), got)
