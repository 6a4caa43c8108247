from __future__ import annotations

import pytest

from univs.trackers.object_table import ObjectTable


def test_rows_follow_arrival_and_known_ids_keep_theirs() -> None:
    table = ObjectTable()
    assert table.add([7, 3, 7]) == [7, 3]
    assert table.add([3, 300]) == [300]
    assert table.ids == (7, 3, 300)
    assert table.rows([300, 7]) == [2, 0]


def test_removal_closes_the_gap() -> None:
    table = ObjectTable()
    table.add([5, 6, 8])
    assert table.remove(6) == 1
    assert table.ids == (5, 8) and table.row(8) == 1
    assert 6 not in table and len(table) == 2
    with pytest.raises(KeyError):
        table.row(6)


def test_an_id_can_come_back() -> None:
    table = ObjectTable()
    table.add([1, 2])
    table.remove(1)
    assert table.add([1]) == [1]
    assert table.row(1) == 1
