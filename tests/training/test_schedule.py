"""How far a run is, and what follows from it."""

from __future__ import annotations

import math

import pytest

from univs.errors import UserError
from univs.training.schedule import Budget, kept_share, learning_rate_factor


def test_a_budget_is_in_steps_or_minutes() -> None:
    assert Budget(steps=10).progress(5, 1e9) == 0.5
    assert Budget(minutes=2).progress(999, 30) == 0.25
    assert Budget(minutes=0.5).progress(0, 15) == 0.5
    assert Budget(steps=10).progress(25, 0) == 1 == Budget(minutes=1).progress(0, 61)
    for both in ({"steps": 1, "minutes": 1}, {}):
        with pytest.raises(UserError, match="one of the two"):
            Budget(**both)


def test_warm_up_and_cosine() -> None:
    assert learning_rate_factor(0, 0, warmup=10, final=0) == pytest.approx(0.1)
    assert learning_rate_factor(4, 0, warmup=10, final=0) == pytest.approx(0.5)
    assert learning_rate_factor(9, 0, warmup=10, final=0) == 1 == learning_rate_factor(10, 0, warmup=10, final=0)
    assert learning_rate_factor(0, 0, warmup=0, final=0) == 1
    assert learning_rate_factor(99, 0.5, warmup=10, final=0.2) == pytest.approx(0.6)
    assert learning_rate_factor(99, 0.25, warmup=10, final=0.2) == pytest.approx(0.2 + 0.4 * (1 + math.sqrt(0.5)))
    assert learning_rate_factor(99, 1.0, warmup=10, final=0.2) == pytest.approx(0.2)
    assert learning_rate_factor(0, 1.0, warmup=4, final=0.2) == pytest.approx(0.05), "both at once"


def test_learning_rate_may_drop_at_once() -> None:
    rates = [learning_rate_factor(9, p, warmup=0, final=0.1, dropped_at=0.9) for p in (0, 0.5, 0.89, 0.9, 1)]
    assert rates == [1, 1, 1, 0.1, 0.1]
    assert learning_rate_factor(0, 1.0, warmup=4, final=0.1, dropped_at=0.9) == pytest.approx(0.025)


def test_the_kept_share_falls_until_it_is_reached() -> None:
    assert kept_share(0, 0.2) == 1
    assert kept_share(0.3, 0.2) == pytest.approx(0.6)
    assert kept_share(0.6, 0.2) == pytest.approx(0.2) == kept_share(1, 0.2)
    assert kept_share(0.25, 0.1, start=0.5, reached=0.5) == pytest.approx(0.3)
    official = [kept_share(step / 10000, 0.15, begins=0.2, reached=0.5) for step in (0, 1999, 2000, 3500, 5000, 9999)]
    assert official == pytest.approx([1, 1, 1, 0.575, 0.15, 0.15])
