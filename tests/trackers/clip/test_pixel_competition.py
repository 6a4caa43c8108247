"""Competition of entities against a loop over pixels."""

from __future__ import annotations

import torch

from univs.trackers.clip.pixel_competition import holds_its_ground


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
