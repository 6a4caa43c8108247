"""How far a run is, and what follows from it."""

from __future__ import annotations

import math

import pytest

from univs.errors import UserError
from univs.training.schedule import Budget, StepClock, kept_share, learning_rate_factor


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


def counted(*steps: float, before: float = 0.0) -> float:
    clock = StepClock(before)
    for seconds in steps:
        clock.count(seconds)
    return clock.seconds


def test_steps_are_summed_up_from_where_a_run_left_off() -> None:
    assert counted() == 0 and counted(before=7) == 7
    assert counted(2, 1, 3, 2) == 8 and counted(*[2] * 40, before=7) == 87
    assert counted(1, 1, 1, 1, 1, 9.9, 4) == pytest.approx(18.9), "a step may take longer than others do"


def test_a_suspended_run_spends_nothing_of_its_budget() -> None:
    """A night between two steps of a second counts as ten of them."""
    assert counted(*[1] * 10, 30000, *[1] * 10) == 30
    assert counted(*[1] * 10, 30000, 30000, *[1] * 10) == 40, "the median is that of the usual steps"
    assert counted(*[1] * 200, *[20] * 40, before=5) > 5 + 200 + 600, "steps that take longer from some time on count"


def test_the_first_steps_are_bounded_once_it_is_known_what_a_step_takes() -> None:
    assert counted(30000) == 30000 and counted(30000, 1, 1, 1) == 30003
    assert counted(30000, 1, 1, 1, 1) == 14 and counted(30000, 1, 1, 1, 1, 1, before=3) == 18
