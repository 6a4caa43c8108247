"""Two processes that count together, one after the other in this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from univs.losses.counting import Counting

T = TypeVar("T")


class _Noted(Counting):
    """Notes the counts it is asked for."""

    processes = 2

    def __init__(self) -> None:
        self.counts: list[Tensor] = []

    def total(self, count: Tensor) -> Tensor:
        self.counts.append(count.clone())
        return count


class _Told(Counting):
    """Answers with the sums of what both asked for, in that order."""

    processes = 2

    def __init__(self, *noted: _Noted) -> None:
        self._totals = iter([sum(counts) for counts in zip(*(one.counts for one in noted), strict=True)])

    def total(self, count: Tensor) -> Tensor:
        total = next(self._totals)
        assert isinstance(total, Tensor) and total.shape == count.shape
        return total


def together(work: Callable[[int, Counting], T]) -> tuple[T, T]:
    """What both have of their work, which is the same however often it is done.

    AssertionError or ValueError where they do not ask for as many counts of the same shapes.
    """
    noted = _Noted(), _Noted()
    for rank, counting in enumerate(noted):
        work(rank, counting)
    assert [c.shape for c in noted[0].counts] == [c.shape for c in noted[1].counts]
    return work(0, _Told(*noted)), work(1, _Told(*noted))


def mean_gap(halves: tuple[Tensor, Tensor], whole: Tensor) -> float:
    """Largest distance of the mean of two from a third, as a share of it."""
    gap = (torch.stack(halves).mean(0) - whole).abs().max() / whole.abs().max().clamp_min(1e-9)
    return float(gap.detach())
