from __future__ import annotations

import pytest

from univs.trackers.frame.memory import Schedule


def run(schedule: Schedule, frames: int, pinned: set[int]) -> None:
    for frame in range(frames):
        if frame in pinned or schedule.due(frame):
            schedule.place(frame, frame in pinned)


def kept(schedule: Schedule) -> list[int]:
    return [entry.frame_index for entry in schedule.entries]


def test_first_frame_and_every_fifth_are_kept() -> None:
    schedule = Schedule(capacity=6, interval=5)
    run(schedule, 23, {0})
    assert kept(schedule) == [0, 5, 10, 15, 20]


def test_oldest_frames_give_way_but_the_first_stays() -> None:
    schedule = Schedule(capacity=6, interval=5)
    run(schedule, 101, {0})
    assert kept(schedule) == [0, 80, 85, 90, 95, 100]


def test_slots_are_distinct_and_within_capacity() -> None:
    schedule = Schedule(capacity=4, interval=2)
    for frame in range(60):
        if frame % 9 == 0 or schedule.due(frame):
            slot = schedule.place(frame, pinned=frame % 9 == 0)
            assert slot is not None and 0 <= slot < 4
        slots = [entry.slot for entry in schedule.entries]
        assert len(slots) == len(set(slots)) <= 4


def test_frames_with_prompts_are_pinned_up_to_a_bound() -> None:
    schedule = Schedule(capacity=6, interval=5)
    run(schedule, 200, {0, 7, 11, 40, 41, 42})
    assert kept(schedule) == [0, 40, 41, 42, 192, 197]


def test_a_prompt_counts_as_the_last_memorised_frame() -> None:
    schedule = Schedule(capacity=6, interval=5)
    run(schedule, 13, {0, 7})
    assert kept(schedule) == [0, 5, 7, 12]


def test_a_single_place_belongs_to_the_first_frame() -> None:
    schedule = Schedule(capacity=1, interval=3)
    run(schedule, 30, {0, 10})
    assert kept(schedule) == [0]


def test_two_places_leave_one_for_what_passes_by() -> None:
    schedule = Schedule(capacity=2, interval=3)
    run(schedule, 31, {0, 10, 20})
    assert kept(schedule)[0] == 0
    assert kept(schedule)[1] > 20


def test_a_forgotten_slot_is_used_again() -> None:
    schedule = Schedule(capacity=3, interval=1)
    run(schedule, 3, {0})
    schedule.forget(0)
    assert kept(schedule) == [1, 2]
    assert schedule.place(3, pinned=False) == 0


def test_a_first_entry_that_is_not_pinned_gives_way_too() -> None:
    schedule = Schedule(capacity=3, interval=1)
    run(schedule, 3, {0})
    schedule.forget(0)  # the object of the first frame has been removed
    schedule.place(3, pinned=False)
    schedule.place(4, pinned=False)
    assert kept(schedule) == [2, 3, 4]


@pytest.mark.parametrize(("capacity", "interval"), [(0, 5), (3, 0)])
def test_bounds_must_be_positive(capacity: int, interval: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Schedule(capacity, interval)
