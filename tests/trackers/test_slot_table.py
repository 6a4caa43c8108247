"""Objects and their slots."""

from __future__ import annotations

import pytest

from univs.trackers.slot_table import SlotTable


def test_ids_choose_slots_and_not_ranks() -> None:
    table = SlotTable(4)
    assert table.add([3, 1, 3]) == [3, 1] and table.ids == (3, 1)
    assert (table.slot(3), table.slot(1), table.count) == (2, 0, 4)
    assert table.add([1]) == [] and 1 in table and 2 not in table


def test_ids_beyond_the_slots_take_what_nobody_else_needs() -> None:
    table = SlotTable(3, expected=(1, 2, 70, 80, 90))
    table.add([70, 2])
    assert (table.slot(70), table.slot(2)) == (2, 1), "the slot of object 1 is kept for it"
    table.add([80, 1])
    assert (table.slot(80), table.slot(1), table.count) == (3, 0, 4), "there are more slots if need be"
    table.add([90, 3])
    assert (table.slot(90), table.slot(3), table.count) == (5, 4, 6), "where its own is taken, an object gets another"


def test_removing_leaves_the_slot_to_a_later_object() -> None:
    table = SlotTable(3)
    table.add([1, 2, 3])
    assert table.remove(2) == 1 and table.ids == (1, 3) and table.slot(3) == 2
    table.add([9])
    assert table.slot(9) == 1 and table.count == 3
    with pytest.raises(KeyError):
        table.remove(2)
    with pytest.raises(KeyError):
        table.slot(2)
