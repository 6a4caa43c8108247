"""Which frames a space-time memory keeps, and what is read of each object."""

from __future__ import annotations

import pytest
import torch

from univs.models.space_time_memory import MemoryEntry
from univs.trackers.memory_bank import Keeping, MemoryBank


def entry(number: float) -> MemoryEntry:
    """An entry of two positions that says which frame (and object) it is of."""
    return MemoryEntry(torch.full((2, 3), number), torch.full((2, 4), -number))


def remembered(bank: MemoryBank, object_id: int) -> list[int]:
    """What is read of an object, as the numbers of the entries."""
    read = bank.read(object_id)
    assert read.key.shape == (2 * bank.frames(object_id), 3) and read.value.shape == (len(read.key), 4)
    assert torch.equal(read.key[:, 0], -read.value[:, 0]) and torch.equal(read.key[::2], read.key[1::2])
    return sorted(int(number) for number in read.key[::2, 0])


def run(keeping: Keeping, frames: range, start_pinned: bool = True) -> tuple[MemoryBank, list[list[int]]]:
    """Frames written in turn, the first with a mask, and what was known after each."""
    bank, known = MemoryBank(keeping), []
    for place, index in enumerate(frames):
        bank.write(index, {1: entry(index)}, pinned=start_pinned and place == 0)
        known.append(remembered(bank, 1))
    return bank, known


def test_every_nth_frame_is_kept_and_the_previous_one_is_lent() -> None:
    bank, known = run(Keeping(3, 9), range(9))
    assert known == [[0], [0, 1], [0, 2], [0, 3], [0, 3, 4], [0, 3, 5], [0, 3, 6], [0, 3, 6, 7], [0, 3, 6, 8]]
    assert bank.kept == (0, 3, 6)


def test_the_interval_counts_from_the_frame_kept_last_either_way() -> None:
    assert run(Keeping(3, 9), range(5, 12))[0].kept == (5, 8, 11)
    assert run(Keeping(3, 9), range(5, -1, -1))[0].kept == (5, 2)


def test_or_every_multiple_of_it_is_kept() -> None:
    assert run(Keeping(3, 9, at_multiples=True), range(5, 12))[0].kept == (5, 6, 9)
    assert run(Keeping(4, 9, at_multiples=True), range(9))[0].kept == (0, 4, 8)


def test_at_most_so_many_frames_are_kept_and_given_masks_stay() -> None:
    bank, known = run(Keeping(1, 3), range(6))
    assert bank.kept == (0, 4, 5) and known[-1] == [0, 4, 5]
    bank = MemoryBank(Keeping(1, 3))
    for index, pinned in enumerate((True, False, True, False, True, True, False)):
        bank.write(index, {1: entry(index)}, pinned=pinned)
        if index == 4:
            assert bank.kept == (0, 2, 4)
    assert bank.kept == (0, 5, 6)  # of pinned ones the oldest but the first gives way
    bank, known = run(Keeping(1, 1), range(4))
    assert known == [[0], [1], [2], [3]]


def test_memory_does_not_grow_with_the_video() -> None:
    bank, _ = run(Keeping(2, 4), range(60))
    rows = bank._objects[1]
    assert rows._keys is not None and len(rows._keys) == 8 and bank.frames(1) <= 5


def test_objects_that_come_later_have_later_frames() -> None:
    bank = MemoryBank(Keeping(2, 9))
    bank.write(0, {1: entry(0)}, pinned=True)
    bank.write(1, {1: entry(1), 2: entry(101)}, pinned=True)
    bank.write(2, {1: entry(2), 2: entry(102)}, pinned=False)
    assert remembered(bank, 1) == [0, 1, 2] and remembered(bank, 2) == [101, 102]
    assert 2 in bank and 3 not in bank
    bank.remove(1)
    assert 1 not in bank and bank.kept == (1,)
    bank.write(3, {2: entry(103)}, pinned=False)
    assert remembered(bank, 2) == [101, 103]


def test_a_frame_written_again_takes_the_place_of_the_first() -> None:
    bank = MemoryBank(Keeping(2, 9))
    bank.write(4, {1: entry(4)}, pinned=True)
    bank.write(6, {1: entry(6)}, pinned=True)
    bank.write(4, {1: entry(44)}, pinned=True)
    assert remembered(bank, 1) == [6, 44] and bank.kept == (6, 4)


def test_who_is_unknown() -> None:
    bank = MemoryBank(Keeping(2, 9))
    with pytest.raises(KeyError):
        bank.read(1)
    with pytest.raises(KeyError):
        bank.remove(1)
