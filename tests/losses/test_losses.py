"""Losses against slow references and hand-made numbers."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from univs.losses import (
    CriterionWeights,
    bootstrapped_cross_entropy,
    correspondence_loss,
    dice_loss,
    match,
    prompt_losses,
    sample_points,
    set_losses,
    uncertain_points,
)
from univs.losses.matcher import class_cost, mask_costs
from univs.losses.set_criterion import focal_losses


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


def test_half_of_the_points_lie_where_the_mask_is_least_certain() -> None:
    logits = torch.full((1, 32, 32), 9.0)
    logits[:, :, :4] = 0.1  # an uncertain strip: an eighth of the map
    points = uncertain_points(logits, 400, generator=torch.Generator().manual_seed(1))
    share = (points[0, :, 0] < 4.5 / 32).float().mean()
    assert points.shape == (1, 400, 2)
    assert 0.4 < float(share) < 0.6  # 3 * 1/8 of the count come from the strip, and 1/8 of the fresh half


def test_dice_by_hand() -> None:
    logits = torch.tensor([[100.0, 100.0, -100.0, -100.0]])
    targets = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    assert float(dice_loss(logits, targets)) == pytest.approx(1 - 3 / 5)


def test_bootstrapping_keeps_the_hardest_pixels() -> None:
    logits = torch.zeros(1, 2, 1, 4)
    logits[0, 1, 0] = torch.tensor([-3.0, -1.0, 1.0, 3.0])
    labels = torch.ones(1, 1, 4, dtype=torch.uint8)
    every = [
        math.log(1 + math.exp(3)),
        math.log(1 + math.exp(1)),
        math.log(1 + math.exp(-1)),
        math.log(1 + math.exp(-3)),
    ]
    assert float(bootstrapped_cross_entropy(logits, labels, 1.0)) == pytest.approx(sum(every) / 4, rel=1e-5)
    assert float(bootstrapped_cross_entropy(logits, labels, 0.5)) == pytest.approx(sum(every[:2]) / 2, rel=1e-5)


def test_ignored_pixels_weigh_nothing() -> None:
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    labels = torch.full((1, 3, 3), 255, dtype=torch.uint8)
    labels[0, 0, 0] = 1
    bootstrapped_cross_entropy(logits, labels, 1.0).backward()
    assert logits.grad is not None
    assert float(logits.grad[0, :, 1:].abs().sum()) == 0
    assert float(logits.grad[0, :, 0, 0].abs().sum()) > 0


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


def test_matching_is_the_cheapest_of_all_assignments() -> None:
    torch.manual_seed(3)
    logits, targets, points = torch.randn(4, 1, 6, 6), (torch.rand(3, 1, 6, 6) > 0.5).float(), torch.rand(1, 30, 2)
    classes, labels = torch.randn(4, 5), torch.tensor([4, 0, 2])
    cross_entropy, dice = mask_costs(logits[None], targets[None], points)
    cost = (5 * cross_entropy + 5 * dice + 3 * class_cost(classes[None], labels[None]))[0]
    # a second clip of one object, whose padding would be the cheaper match for every query
    alone = torch.cat([targets[1:2], (logits[1:3] > 0).float()])
    clips, queries, objects = match(
        torch.stack([logits, logits]),
        torch.stack([targets, alone]),
        torch.tensor([[True, True, True], [True, False, False]]),
        points.expand(2, -1, -1),
        torch.stack([classes, classes]),
        torch.stack([labels, labels]),
    )
    assert clips.tolist() == [0, 0, 0, 1] and objects.tolist()[3] == 0
    queries, objects = queries[:3], objects[:3]
    best = min(itertools.permutations(range(4), 3), key=lambda rows: sum(float(cost[q, g]) for g, q in enumerate(rows)))
    assert {int(g): int(q) for q, g in zip(queries, objects, strict=True)} == dict(enumerate(best))


def test_focal_loss_by_hand() -> None:
    logits, targets = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]])
    p = 1 / (1 + math.exp(-2))
    want = -0.5 * 0.25 * math.log(0.5) - 0.5 * p**2 * math.log(1 - p)
    assert float(focal_losses(logits, targets).sum()) == pytest.approx(want, rel=1e-5)


def _squares() -> torch.Tensor:
    masks = torch.zeros(2, 1, 16, 16)
    masks[0, :, 2:8, 2:8] = 1
    masks[1, :, 9:15, 8:15] = 1
    return masks


def test_a_perfect_answer_costs_nothing_in_whatever_order_the_queries_are() -> None:
    masks = _squares()
    weights = CriterionWeights(points=256)
    logits = torch.full((1, 5, 1, 16, 16), -30.0)
    logits[0, 3], logits[0, 1] = 60 * masks[0] - 30, 60 * masks[1] - 30
    both = torch.stack([logits, logits.roll(7, dims=-1)])
    losses = set_losses(both, masks[None], torch.ones(1, 2, dtype=torch.bool), weights)
    assert float(losses["dice"][0]) < 0.3 and losses["class"].tolist() == [0, 0]
    assert float(losses["dice"][1]) > 0.5


def test_set_losses_are_those_of_each_clip_weighed_by_its_objects() -> None:
    """Against the sums written out; at all-over points the random choice of points does not matter for flat masks."""
    torch.manual_seed(0)
    scores = torch.randn(1, 2, 3, 4)
    logits = torch.tensor([[3.0, -2.0, 0.5], [-1.0, 1.0, 2.0]])[None, :, :, None, None, None].expand(
        -1, -1, -1, 1, 8, 8
    )
    targets = torch.ones(2, 2, 1, 8, 8)
    present = torch.tensor([[True, True], [True, False]])
    names = torch.tensor([[1, 3], [2, 0]])
    found = set_losses(logits, targets, present, CriterionWeights(points=64), scores, names)
    clips, queries, objects = match(
        logits[0], targets, present, torch.full((2, 1, 2), 0.5), scores[0], names
    )  # flat masks: the same pairs
    assert clips.tolist() == [0, 0, 1]
    focal, choice = 0.0, 0.0
    hot = torch.zeros(2, 3, 4)
    for b, q, g in zip(clips.tolist(), queries.tolist(), objects.tolist(), strict=True):
        hot[b, q, names[b, g]] = 1
        choice += float(torch.nn.functional.cross_entropy(scores[0, b, q], names[b, g]))
    for b in range(2):
        focal += float(focal_losses(scores[0, b], hot[b]).sum())
    assert float(found["class"][0]) == pytest.approx((focal + choice) / 3, rel=1e-5)
    none = [x[:, :0] for x in (logits, scores)] + [x[:0] for x in (targets, present, names)]
    empty = set_losses(none[0], none[2], none[3], CriterionWeights(points=64), none[1], none[4])
    assert [float(value) for value in empty.values()] == [0, 0, 0]
    nothing = set_losses(logits, targets, torch.zeros_like(present), CriterionWeights(points=64), scores, names)
    assert float(nothing["mask"][0]) == 0 == float(nothing["dice"][0])
    assert float(nothing["class"][0]) == pytest.approx(float(focal_losses(scores[0], torch.zeros(2, 3, 4)).sum()))


def test_prompt_rows_answer_for_their_own_object_and_padding_is_skipped() -> None:
    masks = _squares()[None]
    logits = 60 * masks - 30
    good, swapped = prompt_losses(torch.stack([logits, logits.flip(1)]), masks, torch.tensor([[True, True]]), 256)[
        "dice"
    ].tolist()
    half = torch.cat([logits[:, :1], -logits[:, 1:]], 1)
    padded = prompt_losses(half[None], masks, torch.tensor([[True, False]]), 256)
    assert good < 0.3 and float(padded["dice"][0]) < 0.3  # half of the points lie on the blurred outline
    assert swapped > 0.9
    empty = prompt_losses(half[None], masks, torch.tensor([[False, False]]), 256)
    assert empty["mask"].tolist() == [0] == empty["dice"].tolist()


def test_correspondence_prefers_the_true_place() -> None:
    truth = torch.tensor([[[0.0, 1.0, 0.5], [0.5, 0.0, 1.0]]])
    every = torch.ones(1, 2, dtype=torch.bool)
    assert float(correspondence_loss(truth, truth, every)) < float(correspondence_loss(truth.roll(1), truth, every))
    carried = torch.tensor([[[0.2, 0.7, 0.5], [0.9, 0.1, 0.3]]])
    want = torch.nn.functional.binary_cross_entropy(carried[0, 0], truth[0, 0])
    assert float(correspondence_loss(carried, truth, torch.tensor([[True, False]]))) == pytest.approx(float(want))
