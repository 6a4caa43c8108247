from __future__ import annotations

import math

import torch

from univs.models.deformable_attention import DeformableAttention, _by_maps, _by_rows, sample_and_sum

SIZES = [(2, 3), (4, 5)]


def bilinear(cells: torch.Tensor, height: int, width: int, x: float, y: float) -> torch.Tensor:
    """Value at (x, y) in 0..1 of a map given as h*w rows of D channels; zero outside."""
    column, row = x * width - 0.5, y * height - 0.5
    total = torch.zeros(cells.shape[1])
    for i in (math.floor(row), math.floor(row) + 1):
        for j in (math.floor(column), math.floor(column) + 1):
            if 0 <= i < height and 0 <= j < width:
                total += (1 - abs(row - i)) * (1 - abs(column - j)) * cells[i * width + j]
    return total


def test_sample_and_sum_equals_a_loop() -> None:
    torch.manual_seed(0)
    frames, queries, heads, points, channels = 2, 3, 2, 2, 4
    value = torch.randn(frames, 26, heads, channels)
    locations = torch.rand(frames, queries, heads, len(SIZES), points, 2) * 1.6 - 0.3  # some outside
    weights = torch.rand(frames, queries, heads, len(SIZES), points)
    expected = torch.zeros(frames, queries, heads, channels)
    for f in range(frames):
        for q in range(queries):
            for m in range(heads):
                for level, (start, (height, width)) in enumerate(zip((0, 6), SIZES, strict=True)):
                    cells = value[f, start : start + height * width, m]
                    for p in range(points):
                        x, y = locations[f, q, m, level, p].tolist()
                        expected[f, q, m] += weights[f, q, m, level, p] * bilinear(cells, height, width, x, y)
    assert torch.allclose(sample_and_sum(value, SIZES, locations, weights), expected.flatten(2), atol=1e-5)


def test_offsets_start_on_a_grid_around_the_reference() -> None:
    attention = DeformableAttention(dim=16, heads=8, levels=2, points=3)
    offsets = attention.sampling_offsets(torch.randn(1, 16)).view(8, 2, 3, 2)
    assert torch.allclose(offsets[0, 0], torch.tensor([[1.0, 0], [2, 0], [3, 0]]), atol=1e-6)
    assert torch.allclose(offsets[3, 1], torch.tensor([[-1.0, 1], [-2, 2], [-3, 3]]), atol=1e-5)


def test_offsets_count_cells_of_their_own_level() -> None:
    torch.manual_seed(0)
    attention = DeformableAttention(dim=8, heads=1, levels=2, points=1)
    with torch.no_grad():
        attention.sampling_offsets.bias.copy_(torch.tensor([1.0, 0, 0, 1]))  # right by a cell, then down by a cell
        for projection in (attention.value_proj, attention.output_proj):
            projection.weight.copy_(torch.eye(8))
    value = torch.randn(1, 26, 8)
    reference = torch.tensor([[0.5, 0.25]])  # level 0: cell (row 0, column 1); level 1: between columns
    out = attention(torch.randn(1, 1, 8), reference, value, SIZES)
    right = value[0, 2]
    below = bilinear(value[0, 6:], 4, 5, 0.5, 0.25 + 1 / 4)
    assert torch.allclose(out[0, 0], (right + below) / 2, atol=1e-5)


def test_both_ways_of_sampling_agree_in_values_and_gradients() -> None:
    torch.manual_seed(0)
    sizes = [(2, 3), (4, 6), (7, 5)]
    cells = sum(h * w for h, w in sizes)
    inputs = (torch.randn(2, cells, 4, 3), torch.randn(2, 9, 4, 3, 2, 2) * 0.6 + 0.5, torch.rand(2, 9, 4, 3, 2))
    results = []
    for way in (_by_maps, _by_rows):
        value, locations, weights = (x.double().requires_grad_() for x in inputs)
        out = way(value, sizes, locations, weights)
        (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
        results.append((out, value.grad, locations.grad, weights.grad))
    assert (inputs[1] < 0).any() and (inputs[1] > 1).any()  # places outside too
    for one, other in zip(*results, strict=True):
        assert one is not None and other is not None
        assert torch.allclose(one, other, atol=1e-6)
