"""Competition of entities against a loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from univs.trackers.clip.pixel_competition import LARGE, areas, competed, holds_its_ground, meets, overlap


def slow(frames: torch.Tensor, weights: torch.Tensor, share: float) -> list[bool]:
    entities, times, height, width = frames.shape
    won, claimed, sure = [0] * entities, [0] * entities, [False] * entities
    for t in range(times):
        for y in range(height):
            for x in range(width):
                p = [float(torch.sigmoid(frames[n, t, y, x])) for n in range(entities)]
                for n in range(entities):
                    claimed[n] += p[n] > 0.5
                if max(p) >= 0.5:
                    n = max(range(entities), key=lambda k: p[k] * float(weights[k]))
                    won[n] += 1
                    sure[n] |= p[n] > 0.5
    return [won[n] / max(1, claimed[n]) > share and sure[n] for n in range(entities)]


def test_winners_are_those_of_a_loop_over_pixels() -> None:
    generator = torch.manual_seed(0)
    for share in (0.0, 0.3, 0.6):
        frames = torch.randn(4, 2, 6, 5, generator=generator)
        frames[3] = -5  # claims nothing
        weights = torch.rand(4, generator=generator)
        found = holds_its_ground((frames[:, t] for t in range(2)), weights, share)
        assert found.tolist() == slow(frames, weights, share)
        assert not found[3]


def test_one_who_only_wins_where_he_is_not_sure_does_not_hold() -> None:
    frames = torch.tensor([[[[-0.1]]], [[[0.1]]]])  # the heavier one wins the pixel without claiming it
    assert holds_its_ground([frames[:, 0]], torch.tensor([1.0, 0.1]), 0.0).tolist() == [False, False]


def test_a_probability_of_one_half_claims_a_pixel_and_is_not_sure_of_it() -> None:
    alone = torch.tensor([[[[0.0, 2.0]]]])
    assert holds_its_ground([alone[:, 0]], torch.ones(1), 1.5).tolist() == [True]  # two won, one claimed surely
    assert holds_its_ground([alone[:, 0, :, :1]], torch.ones(1), -1.0).tolist() == [False]


def test_more_than_the_share_must_be_won() -> None:
    frames = torch.tensor([[[[1.0, 1.0]]], [[[2.0, -9.0]]]])  # the first one loses one of two pixels
    for share, holds in ((0.49, True), (0.5, False)):
        assert holds_its_ground([frames[:, 0]], torch.ones(2), share).tolist() == [holds, True]


def test_pixels_go_to_the_object_with_the_largest_weighted_probability() -> None:
    g = torch.Generator().manual_seed(0)
    clip = [torch.randn(3, 4, 5, generator=g) for _ in range(2)]
    weights = torch.tensor([0.9, 0.5, 0.7])
    for logits, own in zip(clip, competed(clip, weights), strict=True):
        for y, x in np.ndindex(4, 5):
            best = max(range(3), key=lambda n: torch.sigmoid(logits[n, y, x]) * weights[n])
            for n in range(3):
                wins = n == best and (logits[:, y, x] > 0).any()
                assert own[n, y, x] == (logits[n, y, x] if wins else 0)


def test_where_no_logit_is_positive_the_pixel_is_nobodys() -> None:
    """The first object has the larger weight, so that it would win with its negative logit."""
    (own,) = competed([torch.tensor([[[-0.5]], [[0.0]]])], torch.tensor([1.0, 0.1]))
    assert not own.any()


def test_where_an_object_certainly_is_its_probability_is_one() -> None:
    logits, weights = torch.tensor([[[2.0, 2.0]], [[1.0, 1.0]]]), torch.tensor([0.9, 0.8])
    (own,) = competed([logits], weights, [torch.tensor([[[False, False]], [[True, False]]])])
    assert own[:, 0].tolist() == [[0, 2], [1, 0]]  # 0.9 * 0.88 against 0.8 * 1, and 0.8 * 0.73


def test_areas_are_of_all_frames() -> None:
    first, second = torch.tensor([[[0.0, 1.0]], [[2.0, 3.0]]]), torch.tensor([[[4.0, 0.5]], [[-1.0, 0.0]]])
    assert areas([first, second]).tolist() == [3, 2]


def test_a_small_mask_needs_less_overlap() -> None:
    a = torch.zeros(4, 4, 4, dtype=torch.bool)
    a[0, :2], a[1, 0, 0], a[2, 3, 3] = True, True, True
    b = torch.zeros_like(a)
    b[0, 1:3], b[2, 3, 3] = True, True
    assert overlap(a, b).tolist() == pytest.approx([1 / 3, 0, 1, 0])
    given = torch.tensor([LARGE / 2, LARGE / 4, LARGE, LARGE, 4 * LARGE])
    overlaps = torch.tensor([0.125, 0.125, 0.25, 0.26, 0.26])
    assert meets(overlaps, given, 0.25).tolist() == [False, True, False, True, True]  # more than 1/8, 1/16, 1/4, ...
