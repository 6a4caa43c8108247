"""Re-identification losses against loops over rows, columns and references."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from univs.losses import reidentification_losses
from univs.losses.reidentification import between_clips_losses, contrastive_loss, draw_columns, likeness_loss
from univs.models.draws import TorchDraws


class RecordedDraws(TorchDraws):
    """Draws that remember their permutations."""

    def __init__(self, seed: int) -> None:
        super().__init__(torch.Generator().manual_seed(seed))
        self.orders: list[list[int]] = []
        self.picks: list[list[int]] = []

    def permutation(self, length: int) -> Tensor:
        order = super().permutation(length)
        self.orders.append(order.tolist())
        return order

    def integers(self, high: int, count: int) -> Tensor:
        picks = super().integers(high, count)
        self.picks.append(picks.tolist())
        return picks


def slow_columns(positive: list[list[bool]], orders: list[list[int]]) -> list[int]:
    """Three quarters of min(20, 3 R) of the columns that are positive somewhere, a quarter of the others."""
    count = min(20, 3 * len(positive))
    everywhere = range(len(positive[0]))
    familiar = [m for m in everywhere if any(row[m] for row in positive)]
    others = [m for m in everywhere if m not in familiar]
    assert [len(order) for order in orders] == [len(familiar), len(others)]
    return [familiar[i] for i in orders[0][: 3 * count // 4]] + [others[i] for i in orders[1][: count // 4]]


def slow_losses(rows: Tensor, columns: Tensor, positive: Tensor, orders: list[list[int]]) -> tuple[float, float]:
    """Both losses, from the permutations of the columns."""
    kept = [r for r in range(len(rows)) if positive[r].any()]
    same = [positive[r].tolist() for r in kept]
    first, second = slow_columns(same, orders[:2]), slow_columns(same, orders[2:])
    contrast, likeness = 0.0, 0.0
    for r, mine in zip(kept, same, strict=True):
        similarity = [float(rows[r] @ column) / math.sqrt(rows.shape[1]) for column in columns]
        ours = [similarity[m] for m in range(len(columns)) if mine[m]]
        total = 0.0
        for m in first:
            for reference in (ours[0], sum(ours) / len(ours)):
                total += 0.0 if mine[m] else math.exp(min(similarity[m] - reference, 10))
        contrast += math.log(1 + total)
        for m in second:
            cosine = float(rows[r] @ columns[m] / (rows[r].norm() * columns[m].norm()))
            gap = abs(max(cosine, 0) - float(mine[m]))
            likeness += 0.5 * gap**2 if gap < 1 else gap - 0.5
    return contrast / len(kept), likeness / len(kept)


@pytest.mark.parametrize(("rows", "columns"), [(3, 30), (9, 40), (30, 25)])
def test_losses_against_loops(rows: int, columns: int) -> None:
    """Few rows and many; some columns belong to nobody, and some rows to no column."""
    generator = torch.Generator().manual_seed(rows)
    ours, theirs = torch.randn(rows, 16, generator=generator), torch.randn(columns, 16, generator=generator)
    who, whose = (torch.randint(0, most, (n,), generator=generator) for most, n in ((5, rows), (8, columns)))
    who[1], who[2] = whose[4], 99
    positive = who[:, None] == whose
    draws = RecordedDraws(0)
    found = reidentification_losses(ours, theirs, positive, draws)
    want = slow_losses(ours, theirs, positive, draws.orders)
    assert [float(value) for value in found] == pytest.approx(want, rel=1e-4)
    assert not positive[2].any() and min(want) > 0.1


def test_a_similarity_far_beyond_its_reference_is_cut() -> None:
    similarity, positive = torch.tensor([[90.0, -3.0, 5.0]]), torch.tensor([[False, False, True]])
    loss = contrastive_loss(similarity, positive, torch.tensor([[5.0, 7.0]]))
    want = math.log(1 + 2 * math.exp(10) + math.exp(-8) + math.exp(-10))
    assert float(loss) == pytest.approx(want, rel=1e-6)


def test_rows_are_meaned() -> None:
    similarity, positive = torch.tensor([[0.0], [math.log(3)]]), torch.zeros(2, 1, dtype=torch.bool)
    loss = contrastive_loss(similarity, positive, torch.zeros(2, 1))
    assert float(loss) == pytest.approx((math.log(2) + math.log(4)) / 2, rel=1e-6)


def test_likeness_by_hand() -> None:
    """Below 0 a cosine counts as 0; positives should be 1."""
    cosine, positive = torch.tensor([[-0.9, 0.5], [0.25, -0.5]]), torch.tensor([[False, False], [True, True]])
    want = (0.5 * 0.5**2 + 0.5 * 0.75**2 + 0.5 * 1) / 2
    assert float(likeness_loss(cosine, positive)) == pytest.approx(want, rel=1e-6)


def test_few_rows_are_compared_with_few_columns() -> None:
    positive = torch.zeros(2, 50, dtype=torch.bool)
    positive[0, 5:25] = True
    chosen = draw_columns(positive, TorchDraws(torch.Generator().manual_seed(0))).tolist()
    assert len(chosen) == 5 == len(set(chosen))  # of 6, four and one
    assert all(5 <= m < 25 for m in chosen[:4]) and not 5 <= chosen[4] < 25


def test_each_loss_has_columns_of_its_own() -> None:
    positive = torch.eye(8, dtype=torch.bool).repeat(1, 8)
    draws = RecordedDraws(1)
    reidentification_losses(torch.randn(8, 4), torch.randn(64, 4), positive, draws)
    assert len(draws.orders) == 4 and draws.orders[0] != draws.orders[2]


def test_without_pairs_nothing_is_lost() -> None:
    rows = torch.randn(3, 4, requires_grad=True)
    found = reidentification_losses(rows, torch.randn(5, 4), torch.zeros(3, 5, dtype=torch.bool), TorchDraws())
    assert [float(value.detach()) for value in found] == [0, 0]
    sum(found).backward()
    assert rows.grad is not None and not rows.grad.any()
    none = reidentification_losses(rows[:0], rows, torch.zeros(0, 3, dtype=torch.bool), TorchDraws())
    assert [float(value.detach()) for value in none] == [0, 0]


@pytest.mark.parametrize("rows", [7, 45])
def test_losses_between_clips_against_loops(rows: int) -> None:
    """The first one of an object, in the order that is drawn, stands for it; the others are the columns."""
    generator = torch.Generator().manual_seed(rows)
    embeddings, ids = torch.randn(rows, 16, generator=generator), torch.randint(3, 7, (rows,), generator=generator)
    draws = RecordedDraws(2)
    found = between_clips_losses(embeddings, ids, draws)
    order, first, second = draws.orders
    vectors, names = [embeddings[i] for i in order], [int(ids[i]) for i in order]
    contrast, likeness, objects = 0.0, 0.0, sorted(set(names))
    for name, picks in zip(objects, draws.picks, strict=True):
        anchor = vectors[names.index(name)]
        similarity = [float(anchor @ vector) / 4 for vector in vectors]
        same = [s for s, other in zip(similarity, names, strict=True) if other == name]
        total = 0.0
        for m in first[:30]:
            if names[m] != name:
                total += sum(math.exp(min(similarity[m] - same[pick], 10)) for pick in picks)
        contrast += math.log(1 + total)
        assert len(picks) == 3
        for m in second[:30]:
            cosine = float(anchor @ vectors[m] / (anchor.norm() * vectors[m].norm()))
            gap = abs(max(cosine, 0) - float(names[m] == name))
            likeness += 0.5 * gap**2 if gap < 1 else gap - 0.5
    want = contrast / len(objects), likeness / len(objects)
    assert [float(value) for value in found] == pytest.approx(want, rel=1e-4)


def test_without_embeddings_nothing_is_lost_between_clips() -> None:
    none = torch.zeros(0, 4, requires_grad=True)
    found = between_clips_losses(none, torch.zeros(0, dtype=torch.long), TorchDraws())
    assert [float(value.detach()) for value in found] == [0, 0]


def test_objects_are_drawn_together_and_others_apart() -> None:
    """A step down the slope brings the two rows of an object closer, on both sides of a pair."""
    rows = torch.randn(4, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    columns = torch.randn(4, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    positive = torch.eye(4, dtype=torch.bool)
    for which in (0, 1):
        loss = reidentification_losses(rows, columns, positive, RecordedDraws(0))[which]
        slopes = torch.autograd.grad(loss, (rows, columns))
        with torch.no_grad():
            before, after = rows @ columns.T, (rows - 0.1 * slopes[0]) @ (columns - 0.1 * slopes[1]).T
            assert (after - before)[positive].mean() > 0 > (after - before)[~positive].mean()
        assert all(slope.any() for slope in slopes)
