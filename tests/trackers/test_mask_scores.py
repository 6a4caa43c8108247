"""Scores of masks and embeddings against slow loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from univs.trackers.mask_scores import (
    assign,
    averaged_slots,
    bisoftmax,
    consistency,
    mask_quality,
    quality_counts,
    quality_of,
)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / max(np.linalg.norm(a), 1e-3) / max(np.linalg.norm(b), 1e-3))


def test_quality_is_the_share_of_sure_cells() -> None:
    logits = torch.tensor([[[2.0, 0.5], [-0.5, -3.0]], [[-2.0, -2.0], [-2.0, -1.0]]])
    assert torch.allclose(mask_quality(logits), torch.tensor([1 / 3, 0.0]))  # of 2, 0.5, -0.5 one is sure; of none none


def test_cells_are_sure_beyond_one() -> None:
    logits = torch.tensor([[1.5, 1.0, 0.95, -0.95, -1.0]])
    assert quality_counts(logits).tolist() == [[1, 4]] and mask_quality(logits).tolist() == [0.25]
    assert mask_quality(torch.tensor([[5.0, -5.0]])).tolist() == [1.0]
    assert quality_counts(torch.zeros(0, 3, 4)).shape == (0, 2)


def test_counts_of_frames_add_up_to_those_of_the_clip() -> None:
    clip = torch.randn(5, 3, 7, 9, generator=torch.manual_seed(0)) * 2
    parts = sum(quality_counts(clip[:, t]) for t in range(3))
    assert torch.equal(quality_of(parts), mask_quality(clip))


def test_consistency_is_a_weighted_mean_of_cosines() -> None:
    generator = torch.manual_seed(1)
    history, current = torch.randn(3, 4, 8, generator=generator), torch.randn(3, 2, 8, generator=generator)
    history[0, :2] = 0  # unknown at first
    history[2] = 0  # never seen
    found = consistency(history, current)
    for n in range(3):
        weights = [math.exp(5 * k / 4) if history[n, k - 1].any() else 0.0 for k in range(1, 5)]
        means = [np.mean([cosine(h.numpy(), c.numpy()) for c in current[n]]) for h in history[n]]
        total = sum(weights)
        wanted = sum(w * m for w, m in zip(weights, means, strict=True)) / total if total else 0.0
        assert abs(float(found[n]) - wanted) < 1e-6


def test_a_vector_with_zeros_in_it_is_known_and_one_of_no_length_says_little() -> None:
    history = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    wanted = math.exp(2.5) / (math.exp(2.5) + math.exp(5))
    assert float(consistency(history, torch.tensor([[[3.0, 0.0]]]))) == pytest.approx(wanted)
    tiny = torch.tensor([[[1e-4, 0.0]]])
    assert float(consistency(tiny, torch.tensor([[[3.0, 0.0]]]))) == pytest.approx(
        0.1
    )  # lengths below 1e-3 count as it


def test_an_empty_slot_takes_the_new_vector_whole() -> None:
    stored, new = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([[1.0, 3.0], [4.0, 6.0]])
    assert averaged_slots(stored, new).tolist() == [[1.0, 3.0], [3.0, 3.0]]


def test_bisoftmax_over_all_pairs_of_frames() -> None:
    generator = torch.manual_seed(2)
    history, found = torch.randn(2, 3, 4, generator=generator), torch.randn(5, 2, 4, generator=generator)
    wanted = np.zeros((2, 5))
    for h, t in itertools.product(range(3), range(2)):
        e = np.exp((history[:, h] @ found[:, t].T).numpy().astype(float))
        wanted += (e / e.sum(1, keepdims=True) + e / e.sum(0, keepdims=True)) / 2 / 6
    np.testing.assert_allclose(bisoftmax(history, found).numpy(), wanted, rtol=1e-5)


def test_assignment_has_the_largest_total_of_what_is_above_the_threshold() -> None:
    similarity = torch.tensor([[0.9, 0.8, 0.0], [0.85, 0.3, 0.1]])
    assert [(n, m) for n, m, _ in assign(similarity, 0.2)] == [(0, 1), (1, 0)]  # 0.8 + 0.85 > 0.9 + 0.3
    best = max(
        itertools.permutations(range(3), 2),
        key=lambda p: sum(float(s) if (s := similarity[n, m]) >= 0.82 else 0.0 for n, m in enumerate(p)),
    )
    assert {(n, m) for n, m, _ in assign(similarity, 0.82)} == {
        (n, m) for n, m in enumerate(best) if similarity[n, m] > 0.82
    }
    # what is below the threshold adds nothing: 0.9 alone is more than 0.5 + 0.3
    assert [pair[:2] for pair in assign(torch.tensor([[0.9, 0.5], [0.3, 0.1]]), 0.2)] == [(0, 0)]
    assert assign(torch.tensor([[0.5]]), 0.5) == []
    assert assign(torch.zeros(0, 3), 0.1) == [] == assign(torch.zeros(2, 0), 0.1)
