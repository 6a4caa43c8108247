"""Sampling at points against slow loops."""

from __future__ import annotations

import itertools
import math

import torch

from univs.losses import sample_points, uncertain_points
from univs.losses.point_sampling import beside_unknown
from univs.models.draws import TorchDraws


def slow_sample(image: torch.Tensor, x: float, y: float) -> float:
    """Bilinear value at (x, y) in [0, 1], zeros outside."""
    height, width = image.shape
    px, py = x * width - 0.5, y * height - 0.5
    total = 0.0
    for row, column in itertools.product((math.floor(py), math.floor(py) + 1), (math.floor(px), math.floor(px) + 1)):
        if 0 <= row < height and 0 <= column < width:
            total += (1 - abs(py - row)) * (1 - abs(px - column)) * float(image[row, column])
    return total


def test_points_are_sampled_bilinearly_with_zeros_outside() -> None:
    torch.manual_seed(0)
    maps, points = torch.randn(2, 5, 7), torch.rand(2, 20, 2)
    points[0, 0] = torch.tensor([0.0, 1.0])  # on the border: half of it lies outside
    got = sample_points(maps, points)
    want = [[slow_sample(m, float(x), float(y)) for x, y in p] for m, p in zip(maps, points, strict=True)]
    torch.testing.assert_close(got, torch.tensor(want), atol=1e-5, rtol=1e-5)


def test_one_set_of_points_serves_all_maps_and_channels() -> None:
    torch.manual_seed(0)
    maps, points = torch.randn(3, 2, 4, 6), torch.rand(1, 9, 2)
    got = sample_points(maps, points)
    assert got.shape == (3, 2, 9)
    want = [[[slow_sample(c, float(x), float(y)) for x, y in points[0]] for c in m] for m in maps]
    torch.testing.assert_close(got, torch.tensor(want), atol=1e-5, rtol=1e-5)


def test_a_single_channel_stays_a_channel() -> None:
    assert sample_points(torch.ones(2, 1, 4, 4), torch.full((2, 3, 2), 0.5)).tolist() == [[[1.0] * 3]] * 2


def test_half_of_the_points_lie_where_the_mask_is_least_certain() -> None:
    logits = torch.full((1, 32, 32), 9.0)
    logits[:, :, :4] = 0.1  # an uncertain strip: an eighth of the map
    points = uncertain_points(logits, 400, draws=TorchDraws(torch.Generator().manual_seed(1)))
    share = (points[0, :, 0] < 4.5 / 32).float().mean()
    assert points.shape == (1, 400, 2)
    assert 0.4 < float(share) < 0.6  # 3 * 1/8 of the count come from the strip, and 1/8 of the fresh half


def test_uncertain_points_are_the_least_certain_of_those_drawn_and_fresh_ones() -> None:
    """Drawn again from the same numbers and sorted by hand; certainty is the distance from 0 on either side."""
    logits = torch.randn(2, 9, 11, generator=torch.Generator().manual_seed(0), requires_grad=True) * 4
    got = uncertain_points(logits, 8, 2.5, 0.75, TorchDraws(torch.Generator().manual_seed(7)))
    generator = torch.Generator().manual_seed(7)
    drawn, fresh = torch.rand(2, 20, 2, generator=generator), torch.rand(2, 2, 2, generator=generator)
    assert not got.requires_grad
    for row in range(2):
        certainty = [abs(slow_sample(logits[row].detach(), float(x), float(y))) for x, y in drawn[row]]
        best = sorted(range(20), key=certainty.__getitem__)[:6]
        assert {tuple(p) for p in got[row, :6].tolist()} == {tuple(drawn[row, i].tolist()) for i in best}
        assert torch.equal(got[row, 6:], fresh[row])
    assert uncertain_points(logits, 8).shape == (2, 8, 2)


def test_three_times_as_many_points_compete_for_half_of_the_places() -> None:
    """What the defaults are: by numbers drawn anew as above."""
    logits = torch.arange(64.0).view(1, 8, 8)
    got = uncertain_points(logits, 10, draws=TorchDraws(torch.Generator().manual_seed(3)))
    generator = torch.Generator().manual_seed(3)
    drawn, fresh = torch.rand(1, 30, 2, generator=generator), torch.rand(1, 5, 2, generator=generator)
    assert torch.equal(got[0, 5:], fresh[0])
    values = sample_points(logits, drawn)[0].sort().values
    torch.testing.assert_close(sample_points(logits, got[:, :5])[0].sort().values, values[:5])


def test_a_point_beside_an_unknown_pixel_is_told() -> None:
    unknown = torch.zeros(1, 4, 4, dtype=torch.bool)
    unknown[0, 1, 2] = True  # its centre is at (2.5, 1.5) / 4
    points = torch.tensor([[[2.5, 1.5], [1.6, 1.5], [2.5, 2.4], [1.5, 1.5], [2.5, 2.6], [0.0, 0.0], [4.0, 1.5]]]) / 4
    assert beside_unknown(unknown, points)[0].tolist() == [True, True, True, False, False, False, False]
