"""Matching of pixels against loops over all pairs: minima per object, k nearest, windows, labels; gradients; memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.models import pixel_matching
from univs.models.pixel_matching import (
    global_distances,
    known_rows,
    labels_of_nearest,
    local_distances,
    normalised,
    pixel_rows,
    squared_distances,
)

HEIGHT, WIDTH, CHANNELS = 11, 19, 5


@pytest.fixture
def maps() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    query, before = torch.randn(2, CHANNELS, HEIGHT, WIDTH)
    return query, before


def naive(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, None] - b[None]).square().sum(-1)


def test_distances_are_squared_and_never_negative(maps: tuple[Tensor, Tensor]) -> None:
    rows, others = (pixel_rows(one) for one in maps)
    assert torch.equal(rows[WIDTH + 2], maps[0][:, 1, 2])
    torch.testing.assert_close(squared_distances(rows, known_rows(others)), naive(rows, others), atol=1e-5, rtol=1e-5)
    same = squared_distances(100 * rows, known_rows(100 * rows)).diagonal()
    assert (same >= 0).all() and same.max() < 1
    known, labels = known_rows(100 * rows), np.zeros((HEIGHT, WIDTH), int)
    for k in (1, 2):
        assert (global_distances(100 * rows, [known.repeat(k, 1)], k) >= 0).all(), "each is k times there"
    assert (local_distances(100 * maps[0], known, labels, 1, 3) >= 0).all()


def test_normalised_is_equation_1() -> None:
    squared = torch.tensor([0.0, 0.3, 1.0, 4.0, 200.0, math.inf])
    want = [1 - 2 / (1 + math.exp(min(float(one), 700))) for one in squared]
    assert normalised(squared).tolist() == pytest.approx(want, abs=1e-6) and normalised(squared)[-1] == 1
    assert normalised(torch.tensor([0.5, math.inf]).half()).tolist() == pytest.approx([math.tanh(0.25), 1], abs=1e-3)


@pytest.mark.parametrize("k", [1, 2, 7])
@pytest.mark.parametrize("at_once", [64, 1 << 20])
def test_global_distances_are_those_of_a_loop(
    maps: tuple[Tensor, Tensor], k: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_matching, "SCORES_AT_ONCE", at_once)
    query, known = (pixel_rows(one) for one in maps)
    groups = [known[:100], known[100:103], known[:0], known[103:]]
    found = global_distances(query, [known_rows(group) for group in groups], k, absent=9.0)
    for row, group in enumerate(groups):
        for pixel in (0, 17, len(query) - 1):
            if not len(group):
                assert found[row, pixel] == 9
                continue
            near = sorted(naive(query[pixel : pixel + 1], group)[0].tolist())[:k]
            near += [near[-1]] * (k - len(near))
            assert float(found[row, pixel]) == pytest.approx(sum(near) / k, rel=1e-4, abs=1e-5)
    assert global_distances(query, [known_rows(known[:0])], k).isinf().all()


@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize("radius", [1, 4, 30])
def test_local_distances_are_those_of_a_loop(maps: tuple[Tensor, Tensor], radius: int, learns: bool) -> None:
    query, before = maps[0].clone().requires_grad_(learns), maps[1]
    labels = np.random.default_rng(1).integers(-1, 3, (HEIGHT, WIDTH))
    labels[:, 12:][labels[:, 12:] == 2] = 0
    found = local_distances(query, known_rows(pixel_rows(before)), labels, 4, radius).detach()
    assert found.shape == (4, HEIGHT, WIDTH) and found[3].isinf().all()
    for number in range(3):
        for y in range(HEIGHT):
            for x in range(WIDTH):
                best = math.inf
                for v in range(max(0, y - radius), min(HEIGHT, y + radius + 1)):
                    for u in range(max(0, x - radius), min(WIDTH, x + radius + 1)):
                        if labels[v, u] == number:
                            best = min(best, float((maps[0][:, y, x] - before[:, v, u]).square().sum()))
                assert float(found[number, y, x]) == pytest.approx(best, rel=1e-4, abs=1e-5), (number, y, x)


@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize("radius", [1, 4, 30])
def test_the_large_tiles_of_a_gpu_change_nothing(
    maps: tuple[Tensor, Tensor], radius: int, learns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, known = maps[0].clone().requires_grad_(learns), known_rows(pixel_rows(maps[1]))
    labels = np.random.default_rng(2).integers(-1, 3, (HEIGHT, WIDTH))
    small = local_distances(query, known, labels, 3, radius)
    monkeypatch.setattr(pixel_matching, "TILE", pixel_matching.GPU_TILE)
    torch.testing.assert_close(local_distances(query, known, labels, 3, radius), small, atol=1e-5, rtol=1e-5)


def test_a_whole_window_is_global(maps: tuple[Tensor, Tensor]) -> None:
    query, before = maps
    labels, known = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 3, known_rows(pixel_rows(before))
    everywhere = global_distances(pixel_rows(query), [known[torch.from_numpy(labels.ravel() == n)] for n in range(3)])
    near = local_distances(query, known, labels, 3, max(HEIGHT, WIDTH))
    torch.testing.assert_close(near.flatten(1), everywhere, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("radius", "k"), [(40, 1), (2, 3)])
def test_gradients_are_those_of_the_nearest_pixels(maps: tuple[Tensor, Tensor], radius: int, k: int) -> None:
    """Against differences of all pairs, globally and in the window."""
    query, before = (one.double().requires_grad_() for one in maps)
    labels = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 2
    labels[:, WIDTH // 2 :] = 0  # where only one object is within reach
    known = known_rows(pixel_rows(before))
    groups = [torch.from_numpy(labels.ravel() == n) for n in range(2)]
    rows = [known[group] for group in groups]
    far, near = global_distances(pixel_rows(query), rows, k), local_distances(query, known, labels, 2, radius)
    with torch.no_grad():
        for found, again in (
            (far, global_distances(pixel_rows(query), rows, k)),
            (near, local_distances(query, known, labels, 2, radius)),
        ):
            torch.testing.assert_close(found, again)
    ours = torch.autograd.grad(far.sum() + near.tanh().sum(), (query, before))
    each = naive(pixel_rows(query), pixel_rows(before))
    y, x = (part.flatten() for part in torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij"))
    apart = torch.maximum((y[:, None] - y).abs(), (x[:, None] - x).abs()) > radius
    everywhere = sum(each[:, group].topk(k, largest=False)[0].mean(1).sum() for group in groups)
    window = sum(each.masked_fill(apart, math.inf)[:, group].amin(1).tanh().sum() for group in groups)
    for got, want in zip(ours, torch.autograd.grad(everywhere + window, (query, before)), strict=True):
        torch.testing.assert_close(got, want, atol=1e-9, rtol=1e-9)


def test_labels_of_the_nearest_by_majority() -> None:
    known = known_rows(torch.tensor([[0.0], [1.0], [2.0], [10.0]]))
    labels = torch.tensor([2, 1, 1, 0])
    query = torch.tensor([[-1.0], [0.9], [9.0]])
    assert labels_of_nearest(query, known, labels).tolist() == [2, 1, 0]
    assert labels_of_nearest(query, known, labels, 2).tolist() == [1, 1, 0], "of equal votes the lower label"
    assert labels_of_nearest(query, known, labels, 3).tolist() == [1, 1, 1]
