"""The reads of the memory against slow references."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from univs.models.memory_read import (
    LocalWindow,
    memory_side,
    query_side,
    read_in_chunks,
    read_out,
    read_out_top_k,
    similarity,
    softmax,
    top_k,
)


def test_similarity_is_the_scaled_negative_squared_distance() -> None:
    torch.manual_seed(0)
    query, memory, shrinkage = torch.randn(2, 6, 16), torch.randn(2, 9, 16), 1 + torch.rand(2, 9, 1)
    got = similarity(query_side(query), memory_side(memory, shrinkage))
    distance = (query[:, :, None] - memory[:, None]).square().sum(-1)
    torch.testing.assert_close(got, -shrinkage[:, None, :, 0] * distance / math.sqrt(16), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("length", [5, 30, 700, 5000, 5003])
def test_top_k_equals_a_full_sort(length: int) -> None:
    scores = torch.randn(3, 4, length, generator=torch.Generator().manual_seed(length))
    values, index = top_k(scores, 30)
    want = scores.sort(-1, descending=True).values[..., :30]
    torch.testing.assert_close(values.sort(-1, descending=True).values, want)
    torch.testing.assert_close(scores.gather(-1, index), values)


def test_reading_all_positions_by_top_k_equals_the_dense_read() -> None:
    torch.manual_seed(1)
    scores, values = 3 * torch.randn(2, 7, 20), torch.randn(2, 3, 20, 5)
    torch.testing.assert_close(read_out_top_k(scores, values, 20), read_out(scores.softmax(-1), values))


def test_top_k_read_ignores_everything_else() -> None:
    torch.manual_seed(1)
    scores, values = 3 * torch.randn(1, 4, 50), torch.randn(1, 1, 50, 5)
    kept = scores.masked_fill(scores < scores.topk(6).values[..., -1:], -torch.inf)
    torch.testing.assert_close(read_out_top_k(scores, values, 6), read_out(kept.softmax(-1), values))


@pytest.mark.parametrize("positions", [3, 8, 21])
def test_reading_in_chunks_equals_reading_at_once(positions: int) -> None:
    torch.manual_seed(1)
    query, memory, values = torch.randn(2, positions, 6), torch.randn(2, 40, 6), torch.randn(2, 3, 40, 5)
    whole = read_out_top_k(similarity(query, memory), values, 6)
    torch.testing.assert_close(read_in_chunks(query, memory, values, 6, rows=8), whole)


def test_softmax_has_no_denormals() -> None:
    weights = softmax(torch.tensor([[0.0, -1.0, -95.0, -500.0]]))
    assert float(weights[weights > 0].min()) >= torch.finfo(torch.float32).tiny
    torch.testing.assert_close(weights.sum(-1), torch.ones(1))


@pytest.mark.parametrize("size", [(11, 19), (16, 8), (3, 5), (8, 9)])
@pytest.mark.parametrize("radius", [1, 3])
def test_local_window_equals_a_loop_over_cells(size: tuple[int, int], radius: int) -> None:
    torch.manual_seed(0)
    height, width = size
    query, key = (F.normalize(torch.randn(2, 6, height, width), dim=1) for _ in range(2))
    values = torch.randn(2, 4, height, width)
    got = LocalWindow(query, key, radius).read(values)
    for y in range(height):
        for x in range(width):
            rows = slice(max(0, y - radius), y + radius + 1)
            columns = slice(max(0, x - radius), x + radius + 1)
            scores = torch.einsum("bc,bcn->bn", query[:, :, y, x], key[:, :, rows, columns].flatten(2))
            want = torch.einsum("bn,bcn->bc", (14 * scores).softmax(-1), values[:, :, rows, columns].flatten(2))
            torch.testing.assert_close(got[:, :, y, x], want, atol=1e-5, rtol=1e-5)


def test_local_window_gradients_are_finite_on_padded_tiles() -> None:
    query, key = (torch.randn(1, 6, 5, 7, requires_grad=True) for _ in range(2))
    LocalWindow(F.normalize(query, dim=1), F.normalize(key, dim=1), 2).read(torch.randn(1, 3, 5, 7)).sum().backward()
    assert query.grad is not None and key.grad is not None
    assert bool(query.grad.isfinite().all()) and bool(key.grad.isfinite().all())
