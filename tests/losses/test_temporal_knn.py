"""The TK-loss against loops over frames, cells and candidates."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from univs.errors import UserError
from univs.losses import PatchSearch, find_matches, patch_similarity, temporal_knn, temporal_terms
from univs.losses.temporal_knn import frame_pairs

HEIGHT, WIDTH = 5, 6


def slow_similarity(searched: Tensor, reference: Tensor, y: int, x: int, down: int, right: int, patch: int) -> float:
    """Of a place of 3 H W and one that lies `down` and `right` of it; black beyond the frame."""
    half, total = patch // 2, 0.0
    there = 0 <= y + down < HEIGHT and 0 <= x + right < WIDTH
    for v in range(-half, half + 1):
        for u in range(-half, half + 1):
            values = []
            for frame, row, column in ((reference, y + v, x + u), (searched, y + v + down, x + u + right)):
                inside = 0 <= row < HEIGHT and 0 <= column < WIDTH and (there or frame is reference)
                values.append(frame[:, row, column] if inside else torch.zeros(3))
            total += float((values[0] - values[1]).square().sum())
    return math.exp(-0.5 * math.sqrt(total))


def slow_terms(
    logits: Tensor, clips: Tensor, boxes: Tensor, colours: Tensor, search: PatchSearch, pairs: list[tuple[int, int]]
) -> tuple[Tensor, Tensor]:
    sums, weights = torch.zeros(len(logits), len(pairs)), torch.zeros(len(logits), len(pairs))
    reach = range(-search.radius, search.radius + 1, search.step)
    for r in range(len(logits)):
        clip = colours[clips[r]]
        for number, (a, b) in enumerate(pairs):
            for y in range(HEIGHT):
                for x in range(WIDTH):
                    found = [
                        (slow_similarity(clip[a], clip[b], y, x, v, u, search.patch), y + v, x + u)
                        for v in reach
                        for u in reach
                    ]
                    for alike, row, column in sorted(found, reverse=True)[: search.matches]:
                        if alike < search.alike:
                            continue
                        weights[r, number] += boxes[r, y, x]
                        if 0 <= row < HEIGHT and 0 <= column < WIDTH:
                            p, q = logits[r, b, y, x].sigmoid(), logits[r, a, row, column].sigmoid()
                            sums[r, number] -= boxes[r, y, x] * torch.log(p * q + (1 - p) * (1 - q))
    return sums, weights


SEARCHES = [
    PatchSearch(),
    PatchSearch(radius=2, step=1, matches=3, pairs="adjacent"),
    PatchSearch(patch=5, radius=2, step=2, matches=1, alike=0.2, pairs="all"),
    PatchSearch(patch=1, radius=1, step=1, matches=40),
]


@pytest.mark.parametrize("search", SEARCHES)
def test_against_loops(search: PatchSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients, whole and in chunks; two clips, of which one moves."""
    generator = torch.Generator().manual_seed(0)
    still = torch.rand(3, HEIGHT, WIDTH, generator=generator)
    moving = torch.stack([still.roll(t, 2) for t in range(3)])
    colours = torch.stack([moving, torch.rand(3, 3, HEIGHT, WIDTH, generator=generator)])
    colours = colours + 0.02 * torch.rand(colours.shape, generator=generator)
    logits = 2 * torch.randn(3, 3, HEIGHT, WIDTH, generator=generator)
    clips = torch.tensor([1, 0, 0])
    boxes = (torch.rand(3, HEIGHT, WIDTH, generator=generator) > 0.3).float()
    pairs = {"cyclic": [(0, 1), (1, 2), (2, 0)], "adjacent": [(0, 1), (1, 2)], "all": [(0, 1), (0, 2), (1, 2)]}

    def slopes(found: tuple[Tensor, Tensor], given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sums, weights = found
        total = (sums * torch.arange(1, 1 + sums.numel()).view_as(sums)).sum()
        return sums.detach(), weights, torch.autograd.grad(total, given)[0]

    given = logits.clone().requires_grad_()
    wanted = slopes(slow_terms(given, clips, boxes, colours, search, pairs[search.pairs]), given)
    assert (wanted[1] > 0).all()
    for at_once in (2**22, 150):
        monkeypatch.setattr(temporal_knn, "AT_ONCE", at_once)
        found = slopes(temporal_terms(given, clips, boxes, find_matches(colours, search)), given)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_pairs_of_clips_of_any_length() -> None:
    assert frame_pairs(2, "cyclic") == ((0, 1), (1, 0)) and frame_pairs(2, "adjacent") == ((0, 1),)
    assert frame_pairs(2, "all") == ((0, 1),) and frame_pairs(1, "cyclic") == ()
    assert frame_pairs(5, "cyclic") == ((0, 1), (1, 2), (2, 3), (3, 4), (4, 0))
    assert frame_pairs(4, "all") == ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


def test_places_searched() -> None:
    """Nine in the released search, 121 in the dense one of radius 5."""
    nine = PatchSearch().offsets()
    assert nine == [(y, x) for y in (-3, 0, 3) for x in (-3, 0, 3)]
    dense = PatchSearch(radius=5, step=1).offsets()
    assert len(dense) == 121 and dense[0] == (-5, -5) and dense[-1] == (5, 5)


def test_what_moves_is_found_where_it_went() -> None:
    """A frame that moves by (1, 2): in the middle the best match of the dense search is that step."""
    generator = torch.Generator().manual_seed(0)
    first = 50 * torch.rand(1, 3, 12, 14, generator=generator)
    clip = torch.stack([first, first.roll((1, 2), (2, 3))], 1)
    found = find_matches(clip, PatchSearch(radius=3, step=1, matches=1, pairs="adjacent"))
    rows, columns = torch.meshgrid(torch.arange(12), torch.arange(14), indexing="ij")
    wanted = (rows - 1) * 14 + columns - 2
    assert torch.equal(found.places[0, 0, 0, 4:8, 4:10], wanted[4:8, 4:10])
    assert found.kept[0, 0, 0, 4:8, 4:10].all() and found.kept.float().mean() < 0.9


def test_one_frame_has_no_matches_and_no_masks_no_loss() -> None:
    logits = torch.randn(2, 1, HEIGHT, WIDTH, requires_grad=True)
    alone = find_matches(torch.rand(1, 1, 3, HEIGHT, WIDTH), PatchSearch())
    sums, weights = temporal_terms(logits, torch.zeros(2, dtype=torch.long), torch.ones(2, HEIGHT, WIDTH), alone)
    assert sums.shape == weights.shape == (2, 0)
    some = find_matches(torch.rand(1, 2, 3, HEIGHT, WIDTH), PatchSearch())
    nobody = temporal_terms(
        logits.expand(-1, 2, -1, -1)[:0], torch.zeros(0, dtype=torch.long), torch.ones(0, HEIGHT, WIDTH), some
    )
    assert nobody[0].shape == (0, 2) and float(nobody[0].sum().detach()) == 0


def test_chunks_bound_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor of the search or the comparison has more numbers than a chunk may, but for one row or one mask."""
    colours = torch.rand(1, 2, 3, 20, 16)
    search = PatchSearch(radius=2, step=1)
    whole = patch_similarity(colours[:, 0], colours[:, 1], search)
    monkeypatch.setattr(temporal_knn, "AT_ONCE", 25 * 16 * 3)
    sizes: list[int] = []
    plain = temporal_knn._band_similarity

    def band(*arguments: object) -> Tensor:
        found = plain(*arguments)  # type: ignore[arg-type]
        sizes.append(found.numel())
        return found

    monkeypatch.setattr(temporal_knn, "_band_similarity", band)
    torch.testing.assert_close(patch_similarity(colours[:, 0], colours[:, 1], search), whole)
    assert max(sizes) == 25 * 16 * 3 and len(sizes) == 7


@pytest.mark.parametrize("wrong", [{"patch": 2}, {"radius": 5, "step": 3}])
def test_searches_that_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError):
        PatchSearch(**wrong)
