"""Batches in which some clips have masks and others boxes alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.losses.test_box_targets import draw_logits, draw_targets
from univs.losses import BoxTargets, CriterionWeights, EitherTargets, MaskTargets, set_criterion
from univs.losses.counting import Counting

WEIGHTS = CriterionWeights(1.0, 2.0, 3.0, 48)


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks are compared at all their cells."""
    y, x = torch.meshgrid((torch.arange(6) + 0.5) / 6, (torch.arange(8) + 0.5) / 8, indexing="ij")
    points = torch.stack([x, y], -1).view(1, 48, 2)
    monkeypatch.setattr(
        set_criterion, "uncertain_points", lambda logits, count, draws=None: points.expand(len(logits), -1, -1)
    )


def both() -> tuple[EitherTargets, MaskTargets, BoxTargets]:
    """Of clip 0 masks are known, of clip 1 boxes; a clip alone as a batch for each."""
    boxes = draw_targets()
    masks = MaskTargets((draw_logits(2, 2) > 1).float(), WEIGHTS)
    either = EitherTargets(masks, boxes, torch.tensor([False, True]))
    seen = boxes.seen
    assert seen.matches is not None
    alone = type(seen)(
        seen.alike[1:], type(seen.matches)(seen.matches.pairs, seen.matches.places[1:], seen.matches.kept[1:])
    )
    return either, MaskTargets(masks.masks[:1], WEIGHTS), BoxTargets(boxes.boxes[1:], alone, boxes.terms, boxes.step)


def test_prompted_clips_weigh_by_their_objects(grid: None) -> None:
    """Three objects: two of masks, one of a box."""
    either, masks, boxes = both()
    logits = draw_logits(2, 2, 2).flip(-1)
    found = either.prompted(logits, torch.tensor([[True, True], [False, True]]))
    one = masks.prompted(logits[:, :1], torch.tensor([[True, True]]))
    other = boxes.prompted(logits[:, 1:], torch.tensor([[False, True]]))
    assert set(found) == {"mask", "dice", "projection", "pairwise", "temporal"}
    for name, value in found.items():
        torch.testing.assert_close(value, 2 / 3 * one[name] if name in one else 1 / 3 * other[name])


def test_without_one_kind_it_is_the_other(grid: None) -> None:
    either, _, _ = both()
    logits, every = draw_logits(1, 2, 2), torch.ones(2, 2, dtype=torch.bool)
    plain = EitherTargets(either.masks, either.boxes, torch.tensor([False, False])).prompted(logits, every)
    wanted = either.masks.prompted(logits, every)
    for name, value in plain.items():
        torch.testing.assert_close(value, wanted.get(name, torch.zeros(1)))


def test_what_is_matched_is_compared_with_what_is_known_of_its_clip(grid: None) -> None:
    either, masks, boxes = both()
    logits = draw_logits(1, 2, 3)
    pairs = (torch.tensor([0, 0, 1]), torch.tensor([2, 0, 1]), torch.tensor([0, 1, 1]))
    found = either.matched(logits, pairs, 3)
    one = masks.matched(logits[:, :1], (pairs[0][:2], pairs[1][:2], pairs[2][:2]), 3)
    other = boxes.matched(logits[:, 1:], (pairs[0][2:] - 1, pairs[1][2:], pairs[2][2:]), 3)
    for name, value in found.items():
        torch.testing.assert_close(value, {**one, **other}[name])
    points = torch.rand(2, 20, 2, generator=torch.Generator().manual_seed(0))
    costs = either.costs(logits[0], points)
    torch.testing.assert_close(costs[:1], masks.costs(logits[0, :1], points[:1]))
    torch.testing.assert_close(costs[1:], boxes.costs(logits[0, 1:], points[1:]))


def test_every_prediction_is_compared_with_what_is_known_of_its_clips(grid: None) -> None:
    """Of two predictions, the rows of which are clip after clip."""
    either, masks, boxes = both()
    logits, points = draw_logits(2, 2, 3), torch.rand(4, 20, 2, generator=torch.Generator().manual_seed(0))
    rows, costs = logits.flatten(0, 1), either.costs(logits.flatten(0, 1), points)
    for row, known in enumerate((masks, boxes, masks, boxes)):
        torch.testing.assert_close(costs[row, None], known.costs(rows[row, None], points[row, None]))
    clip, query, wanted = (torch.tensor(index) for index in ([0, 1, 2, 2, 3], [2, 1, 0, 1, 2], [0, 1, 1, 0, 1]))
    found = either.matched(logits, (clip, query, wanted), 5)
    for number, known in enumerate((masks, boxes)):
        own = clip % 2 == number
        alone = known.matched(logits[:, number, None], (clip[own] // 2, query[own], wanted[own]), 5)
        for name, value in alone.items():
            torch.testing.assert_close(found[name], value)


def test_answers_of_both_kinds(grid: None) -> None:
    either, masks, boxes = both()
    logits, quality = draw_logits(2, 2, 3)[:, :, :, 0], torch.randn(2, 2, 3)
    single = EitherTargets(
        MaskTargets(either.masks.masks[:, :, :1], WEIGHTS),  # type: ignore[attr-defined]
        BoxTargets(
            either.boxes.boxes[:, :, :1],  # type: ignore[attr-defined]
            either.boxes.seen.frames(torch.tensor([0, 1])),  # type: ignore[attr-defined]
            boxes.terms,
            1,
        ),
        either.boxed,
    )
    valid = torch.tensor([[True, False], [True, True]])
    found = single.answers(logits, quality, valid)
    parts = [single.masks.answers(logits, quality, valid & torch.tensor([[True], [False]]))]
    parts.append(single.boxes.answers(logits, quality, valid & torch.tensor([[False], [True]])))
    for name, value in found.items():
        torch.testing.assert_close(value, (1 * parts[0][name] + 2 * parts[1][name]) / 3)


class OfTwo(Counting):
    """Counts as two processes would, of which the other one counts the given numbers."""

    processes = 2

    def __init__(self, others: list[int]) -> None:
        self.others = iter(others)

    def total(self, count: Tensor) -> Tensor:
        return count + next(self.others)


def test_two_processes_make_the_gradients_of_one(grid: None) -> None:
    """One process has clip 0 (masks), the other clip 1 (a box): the mean of their losses is that of the whole batch.

    Both ask for the same counts in the same order, whatever kinds of clips they have.
    """
    either, _, boxes = both()
    logits = draw_logits(1, 2, 2)
    valid = torch.tensor([[True, True], [False, True]])
    whole = either.prompted(logits, valid)
    parts = []
    for clip in range(2):
        one = slice(clip, clip + 1)
        own = BoxTargets(either.boxes.boxes[one], boxes.seen, boxes.terms, 1)  # type: ignore[attr-defined]
        known = EitherTargets(MaskTargets(either.masks.masks[one], WEIGHTS), own, either.boxed[one])  # type: ignore[attr-defined]
        parts.append((known, logits[:, one], valid[one]))
    recorded: list[list[int]] = []
    for part, rows, known in parts:
        asked: list[int] = []

        class Asking(Counting):
            processes = 2

            def total(self, count: Tensor, asked: list[int] = asked) -> Tensor:
                asked.append(int(count))
                return count

        part.prompted(rows, known, Asking())
        recorded.append(asked)
    assert len(recorded[0]) == len(recorded[1])
    totals: dict[str, Tensor] = {}
    for (part, rows, known), others in zip(parts, recorded[::-1], strict=True):
        for name, value in part.prompted(rows, known, OfTwo(others)).items():
            totals[name] = totals.get(name, torch.zeros(1)) + value / 2
    for name, value in whole.items():
        torch.testing.assert_close(totals[name], value)
