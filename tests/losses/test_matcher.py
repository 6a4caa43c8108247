"""Matching against every assignment there is."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from univs.losses import dice_loss, match, sample_points
from univs.losses.matcher import class_cost, mask_costs


def test_pairwise_costs_equal_the_losses_of_each_pair() -> None:
    torch.manual_seed(0)
    logits, targets, points = torch.randn(4, 2, 8, 8), (torch.rand(3, 2, 8, 8) > 0.5).float(), torch.rand(1, 50, 2)
    both = mask_costs(torch.stack([-logits, logits]), torch.stack([targets, targets]), points.expand(2, -1, -1))
    cross_entropy, dice = (cost[1] for cost in both)
    for q, g in itertools.product(range(4), range(3)):
        p, t = sample_points(logits[q], points).flatten()[None], sample_points(targets[g], points).flatten()[None]
        want = torch.nn.functional.binary_cross_entropy_with_logits(p, t)
        torch.testing.assert_close(cross_entropy[q, g], want, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(dice[q, g], dice_loss(p, t)[0], atol=1e-5, rtol=1e-4)


def test_costs_are_those_of_the_known_points_alone() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(1, 2, 2, 8, 8), (torch.rand(1, 3, 2, 8, 8) > 0.5).float()
    at = (torch.arange(8) + 0.5) / 8  # the pixels themselves
    points = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).view(1, 64, 2)
    unknown = torch.rand(1, 2, 8, 8) > 0.6
    cross_entropy, dice = mask_costs(logits, targets, points, unknown)
    known = ~unknown[0]
    for q, g in itertools.product(range(2), range(3)):
        p, t = logits[0, q][known][None], targets[0, g][known][None]
        want = torch.nn.functional.binary_cross_entropy_with_logits(p, t)
        torch.testing.assert_close(cross_entropy[0, q, g], want, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(dice[0, q, g], dice_loss(p, t)[0], atol=1e-5, rtol=1e-4)
    blind = mask_costs(logits, targets, points, torch.ones_like(unknown))
    assert not blind[0].any() and not blind[1].any()


def test_class_costs_against_a_loop() -> None:
    torch.manual_seed(0)
    scores, labels = torch.randn(2, 3, 4), torch.tensor([[1, 3], [2, 0]])
    cost = class_cost(scores, labels)
    assert cost.shape == (2, 3, 2)
    for b, q, g in itertools.product(range(2), range(3), range(2)):
        odds = [math.exp(5 / (1 + math.exp(-x))) for x in scores[b, q].tolist()]
        assert float(cost[b, q, g]) == pytest.approx(-odds[int(labels[b, g])] / sum(odds), rel=1e-5)


@pytest.mark.parametrize("weights", [{}, {"mask_weight": 40.0}, {"dice_weight": 40.0}, {"class_weight": 40.0}])
def test_matching_is_the_cheapest_of_all_assignments(weights: dict[str, float]) -> None:
    torch.manual_seed(3)
    logits, targets, points = torch.randn(4, 1, 6, 6), (torch.rand(3, 1, 6, 6) > 0.5).float(), torch.rand(1, 30, 2)
    classes, labels = torch.randn(4, 5), torch.tensor([4, 0, 2])
    cross_entropy, dice = mask_costs(logits[None], targets[None], points)
    factors = {"mask_weight": 5.0, "dice_weight": 5.0, "class_weight": 3.0, **weights}
    cost = factors["mask_weight"] * cross_entropy + factors["dice_weight"] * dice
    cost = (cost + factors["class_weight"] * class_cost(classes[None], labels[None]))[0]
    # a second clip of one object, whose padding would be the cheaper match for every query
    alone = torch.cat([targets[1:2], (logits[1:3] > 0).float()])
    clips, queries, objects = match(
        torch.stack([logits, logits]),
        torch.stack([targets, alone]),
        torch.tensor([[True, True, True], [True, False, False]]),
        points.expand(2, -1, -1),
        torch.stack([classes, classes]),
        torch.stack([labels, labels]),
        **weights,
    )
    assert clips.tolist() == [0, 0, 0, 1] and objects.tolist()[3] == 0
    queries, objects = queries[:3], objects[:3]
    assert queries.tolist() == sorted(queries.tolist())
    best = min(itertools.permutations(range(4), 3), key=lambda rows: sum(float(cost[q, g]) for g, q in enumerate(rows)))
    assert {int(g): int(q) for q, g in zip(queries, objects, strict=True)} == dict(enumerate(best))


def test_without_categories_masks_alone_decide() -> None:
    logits = torch.full((1, 2, 1, 4, 4), -9.0)
    logits[0, 0, 0, :2], logits[0, 1, 0, 2:] = 9.0, 9.0
    targets = (logits.flip(1) > 0).float()
    points = torch.rand(1, 60, 2, generator=torch.Generator().manual_seed(0))
    clips, queries, objects = match(logits, targets, torch.ones(1, 2, dtype=torch.bool), points)
    assert (clips.tolist(), queries.tolist(), objects.tolist()) == ([0, 0], [0, 1], [1, 0])


def test_an_unknown_part_does_not_decide_who_is_matched() -> None:
    """Query 0 is right wherever anything is known, query 1 wherever nothing is."""
    logits, targets = torch.full((1, 2, 1, 4, 4), -9.0), torch.zeros(1, 1, 1, 4, 4)
    targets[..., :1, :] = 1
    logits[0, 0, 0, :1], logits[0, 0, 0, 1:] = 9.0, 9.0
    logits[0, 0, 0, 1] = -9.0
    logits[0, 1, 0, 1] = 9.0
    unknown = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    unknown[..., 2:, :] = True
    points = torch.rand(1, 200, 2, generator=torch.Generator().manual_seed(0))
    there = torch.ones(1, 1, dtype=torch.bool)
    assert match(logits, targets, there, points)[1].tolist() == [1]
    assert match(logits, targets, there, points, unknown=unknown)[1].tolist() == [0]


def test_padding_before_an_object_keeps_the_objects_own_number() -> None:
    logits, targets = torch.zeros(1, 3, 1, 4, 4), torch.zeros(1, 3, 1, 4, 4)
    logits[0, 2], targets[0, 1] = 9.0, 1.0
    points = torch.full((1, 1, 2), 0.5)
    found = match(logits, targets, torch.tensor([[False, True, False]]), points)
    assert [part.tolist() for part in found] == [[0], [2], [1]]


def test_no_more_pairs_than_queries_and_none_without_objects() -> None:
    logits, targets, points = torch.randn(1, 2, 1, 4, 4), torch.ones(1, 3, 1, 4, 4), torch.full((1, 1, 2), 0.5)
    assert len(match(logits, targets, torch.ones(1, 3, dtype=torch.bool), points)[0]) == 2
    none = match(logits, targets, torch.zeros(1, 3, dtype=torch.bool), points)
    assert [part.tolist() for part in none] == [[], [], []] and none[0].dtype == torch.long
