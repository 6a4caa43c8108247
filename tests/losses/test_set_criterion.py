"""The set criterion against slow loops."""

from __future__ import annotations

import math

import pytest
import torch

from univs.losses import CriterionWeights, MaskTargets, match, prompt_losses, sample_points, set_criterion, set_losses
from univs.losses.set_criterion import focal_losses, point_mask_losses


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """1 P 2: in place of points drawn at random, the same 5 x 5 for all rows."""
    at = (torch.arange(5) + 0.5) / 5
    points = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).view(1, 25, 2)
    monkeypatch.setattr(
        set_criterion, "uncertain_points", lambda logits, count, draws: points.expand(len(logits), -1, -1)
    )
    return points


def slow_terms(
    logits: torch.Tensor, target: torch.Tensor, points: torch.Tensor, unknown: torch.Tensor | None = None
) -> tuple[float, float]:
    """Cross-entropy and dice of one mask h w at those of the points 1 P 2 that lie beside nothing unknown."""
    if unknown is not None:
        points = points[:, sample_points(unknown[None].float(), points)[0] == 0]
    x, t = (sample_points(m[None], points)[0].tolist() for m in (logits, target))
    p = [1 / (1 + math.exp(-value)) for value in x]
    entropy = -sum(b * math.log(a) + (1 - b) * math.log(1 - a) for a, b in zip(p, t, strict=True)) / len(p)
    return entropy, 1 - (2 * sum(a * b for a, b in zip(p, t, strict=True)) + 1) / (sum(p) + sum(t) + 1)


def test_focal_loss_by_hand() -> None:
    logits, targets = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]])
    p = 1 / (1 + math.exp(-2))
    want = [-0.5 * 0.25 * math.log(0.5), -0.5 * p**2 * math.log(1 - p)]
    assert focal_losses(logits, targets)[0].tolist() == pytest.approx(want, rel=1e-5)
    other = focal_losses(logits, targets, alpha=0.25, gamma=3.0)[0].tolist()
    assert other == pytest.approx([-0.25 * 0.125 * math.log(0.5), -0.25 * p**3 * math.log(1 - p)], rel=1e-5)


def test_points_are_those_where_the_prediction_is_uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def uncertain(logits: torch.Tensor, count: int, draws: None) -> torch.Tensor:
        asked.append((logits, count))
        return torch.full((len(logits), count, 2), 0.5)

    monkeypatch.setattr(set_criterion, "uncertain_points", uncertain)
    logits, targets = torch.randn(3, 4, 4), torch.ones(3, 8, 8)
    point_mask_losses(logits, targets, 7)
    assert asked[0][0] is logits and asked[0][1] == 7


def test_the_weights_are_those_of_the_paper() -> None:
    """Mask2Former, section 4: 5 for both mask terms at 12544 points; UniVS weighs classes as much."""
    assert CriterionWeights() == CriterionWeights(classes=5, mask=5, dice=5, points=112 * 112)


def _squares() -> torch.Tensor:
    masks = torch.zeros(2, 1, 16, 16)
    masks[0, :, 2:8, 2:8] = 1
    masks[1, :, 9:15, 8:15] = 1
    return masks


def test_a_perfect_answer_costs_nothing_in_whatever_order_the_queries_are() -> None:
    masks = _squares()
    weights = CriterionWeights(1, 1, 1, 256)
    logits = torch.full((1, 5, 1, 16, 16), -30.0)
    logits[0, 3], logits[0, 1] = 60 * masks[0] - 30, 60 * masks[1] - 30
    both = torch.stack([logits, logits.roll(7, dims=-1)])
    losses = set_losses(both, MaskTargets(masks[None], weights), torch.ones(1, 2, dtype=torch.bool), 256)
    assert float(losses["dice"][0]) < 0.3 and losses["class"].tolist() == [0, 0]
    assert float(losses["dice"][1]) > 0.5


@pytest.mark.parametrize("hidden", [False, True])
def test_mask_terms_of_two_layers_and_clips_against_loops(grid: torch.Tensor, hidden: bool) -> None:
    """Two layers, each matched anew; a clip of two objects and one of one, over two frames."""
    torch.manual_seed(0)
    targets = torch.zeros(2, 2, 2, 8, 8)
    targets[0, 0, :, :4], targets[0, 1, :, 4:], targets[1, 0, :, :, 5:] = 1, 1, 1
    present = torch.tensor([[True, True], [True, False]])
    first = torch.stack([targets[0, 1], torch.zeros(2, 8, 8), targets[0, 0]])
    second = torch.stack([torch.zeros(2, 8, 8), targets[1, 0], torch.ones(2, 8, 8)])
    clean = torch.stack([first, second])  # B Q T h w
    logits = torch.stack([5 * clean - 2.5, (5 * clean - 2.5).roll(1, dims=1)]) + 0.5 * torch.randn(2, 2, 3, 2, 8, 8)
    pairs = [
        [(0, 0, 1), (0, 2, 0), (1, 1, 0)],
        [(0, 1, 1), (0, 0, 0), (1, 2, 0)],
    ]  # of each layer: clip, query, object
    unknown = torch.zeros(2, 2, 8, 8, dtype=torch.bool)
    if hidden:
        unknown[0, 0, :3, 2:], unknown[0, 1, 3:5], unknown[1, 1, 2:, :4] = True, True, True
    weights = CriterionWeights(2.0, 3.0, 5.0, 40)
    found = set_losses(logits, MaskTargets(targets, weights, unknown if hidden else None), present, 40)
    for layer in range(2):
        rows = [(b, q, g, t) for b, q, g in pairs[layer] for t in (0, 1)]
        terms = [slow_terms(logits[layer, b, q, t], targets[b, g, t], grid, unknown[b, t]) for b, q, g, t in rows]
        assert float(found["mask"][layer]) == pytest.approx(3 * sum(e for e, _ in terms) / 6, rel=1e-4)
        assert float(found["dice"][layer]) == pytest.approx(5 * sum(d for _, d in terms) / 6, rel=1e-4)
    assert found["class"].tolist() == [0, 0]


def test_set_losses_are_those_of_each_clip_weighed_by_its_objects() -> None:
    """Against the sums written out; at all-over points the random choice of points does not matter for flat masks."""
    torch.manual_seed(0)
    scores = torch.randn(2, 2, 3, 4)
    logits = torch.tensor([[3.0, -2.0, 0.5], [-1.0, 1.0, 2.0]])[None, :, :, None, None, None].expand(2, -1, -1, 1, 8, 8)
    targets = torch.ones(2, 2, 1, 8, 8)
    present = torch.tensor([[True, True], [True, False]])
    names = torch.tensor([[1, 3], [2, 0]])
    found = set_losses(logits, MaskTargets(targets, CriterionWeights()), present, 64, scores, names)
    for layer in range(2):
        clips, queries, objects = match(
            logits[layer], targets, present, torch.full((2, 1, 2), 0.5), scores[layer], names
        )  # flat masks: the same pairs
        assert clips.tolist() == [0, 0, 1]
        focal, choice = 0.0, 0.0
        hot = torch.zeros(2, 3, 4)
        for b, q, g in zip(clips.tolist(), queries.tolist(), objects.tolist(), strict=True):
            hot[b, q, names[b, g]] = 1
            choice += float(torch.nn.functional.cross_entropy(scores[layer, b, q], names[b, g]))
        for b in range(2):
            focal += float(focal_losses(scores[layer, b], hot[b]).sum())
        assert float(found["class"][layer]) == pytest.approx((focal + choice) / 3, rel=1e-5)


def test_a_clip_without_objects_adds_no_class_loss_beside_one_with_some() -> None:
    torch.manual_seed(0)
    scores, logits, targets = torch.randn(1, 2, 3, 4), torch.zeros(1, 2, 3, 1, 8, 8), torch.ones(2, 1, 1, 8, 8)
    names, weights = torch.zeros(2, 1, dtype=torch.long), CriterionWeights(1, 1, 1, 16)
    both = set_losses(logits, MaskTargets(targets, weights), torch.tensor([[True], [False]]), 16, scores, names)
    one = MaskTargets(targets[:1], weights)
    alone = set_losses(logits[:, :1], one, torch.tensor([[True]]), 16, scores[:, :1], names[:1])
    assert float(both["class"][0]) == pytest.approx(float(alone["class"][0]), rel=1e-5)
    assert float(both["mask"][0]) == pytest.approx(math.log(2), rel=1e-5) == float(alone["mask"][0])


def test_more_objects_than_queries() -> None:
    """Normalised by all objects for masks, by the pairs there can be for classes."""
    scores, logits, targets = torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 1, 4, 4), torch.ones(1, 2, 1, 4, 4)
    present, names = torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 2, dtype=torch.long)
    found = set_losses(logits, MaskTargets(targets, CriterionWeights(1, 1, 1, 8)), present, 8, scores, names)
    focal = 2 * 0.5 * 0.25 * math.log(2)
    assert float(found["class"][0]) == pytest.approx(focal + math.log(2), rel=1e-5)
    # points within half a pixel of the border see a target below 1; where the logit is 0 it makes no difference
    assert float(found["mask"][0]) == pytest.approx(math.log(2) / 2, rel=1e-5)


def test_no_clips_and_no_objects() -> None:
    torch.manual_seed(0)
    scores, logits = torch.randn(1, 2, 3, 4), torch.randn(1, 2, 3, 1, 8, 8, requires_grad=True)
    targets, names = torch.ones(2, 2, 1, 8, 8), torch.zeros(2, 2, dtype=torch.long)
    present, weights = torch.zeros(2, 2, dtype=torch.bool), CriterionWeights(points=64)
    empty = set_losses(logits[:, :0], MaskTargets(targets[:0], weights), present[:0], 64, scores[:, :0], names[:0])
    assert [float(value.detach()) for value in empty.values()] == [0, 0, 0]
    nothing = set_losses(logits, MaskTargets(targets, weights), present, 64, scores, names)
    assert float(nothing["mask"][0]) == 0 == float(nothing["dice"][0])
    assert float(nothing["class"][0]) == pytest.approx(float(focal_losses(scores[0], torch.zeros(2, 3, 4)).sum()))
    (nothing["mask"] + nothing["dice"]).sum().backward()  # part of the graph all the same, with no gradient
    assert logits.grad is not None and not logits.grad.any()


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


@pytest.mark.parametrize("hidden", [False, True])
def test_prompt_losses_against_loops(grid: torch.Tensor, hidden: bool) -> None:
    """Two layers, two clips of two rows (one of them padding) over two frames."""
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 2, 2, 2, 6, 6), torch.rand(2, 2, 2, 12, 12)
    valid = torch.tensor([[True, True], [False, True]])
    unknown = torch.zeros(2, 2, 12, 12, dtype=torch.bool)
    if hidden:
        unknown[0, 0, :5], unknown[1, 0, :, 6:], unknown[1, 1, 4:9, 4:9] = True, True, True
    found = prompt_losses(logits, targets, valid, 9, unknown if hidden else None)
    for layer in range(2):
        rows = [(b, n, t) for b, n in valid.nonzero().tolist() for t in (0, 1)]
        terms = [slow_terms(logits[layer][b, n, t], targets[b, n, t], grid, unknown[b, t]) for b, n, t in rows]
        assert float(found["mask"][layer]) == pytest.approx(sum(e for e, _ in terms) / 6, rel=1e-4)
        assert float(found["dice"][layer]) == pytest.approx(sum(d for _, d in terms) / 6, rel=1e-4)


def test_unknown_pixels_carry_no_gradient() -> None:
    """Points are drawn at random here; the logits are as large as the labels."""
    torch.manual_seed(0)
    targets, unknown = torch.zeros(1, 1, 1, 16, 16), torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    targets[..., 4:9], unknown[..., 9:] = 1, True
    logits = torch.zeros(1, 1, 1, 1, 16, 16, requires_grad=True)
    every = torch.ones(1, 1, dtype=torch.bool)
    prompt = prompt_losses(logits, targets, every, 300, unknown)
    found = set_losses(logits, MaskTargets(targets, CriterionWeights(points=300), unknown), every, 300)
    for losses in (prompt, found):
        (slope,) = torch.autograd.grad((losses["mask"] + losses["dice"]).sum(), logits)
        assert not slope[..., 9:].any() and (slope[..., :9] != 0).float().mean() > 0.8
