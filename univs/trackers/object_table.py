"""Which object sits in which row of the memory's tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class ObjectTable:
    """Stable object id <-> row. Rows are 0..N-1 in order of arrival; removing an object closes its gap."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._rows: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, object_id: object) -> bool:
        return object_id in self._rows

    @property
    def ids(self) -> tuple[int, ...]:
        """Object ids in the order of their rows."""
        return tuple(self._ids)

    def row(self, object_id: int) -> int:
        """Return the row of a known object; KeyError for an unknown one."""
        return self._rows[object_id]

    def rows(self, object_ids: Iterable[int]) -> list[int]:
        """Return the rows of known objects, in the order asked."""
        return [self._rows[object_id] for object_id in object_ids]

    def add(self, object_ids: Sequence[int]) -> list[int]:
        """Give each id that is not known yet the next row; return the ids that were new."""
        new = [object_id for object_id in dict.fromkeys(object_ids) if object_id not in self._rows]
        for object_id in new:
            self._rows[object_id] = len(self._ids)
            self._ids.append(object_id)
        return new

    def remove(self, object_id: int) -> int:
        """Forget an object and return the row that it had; the rows behind it move up by one."""
        row = self._rows[object_id]
        self._ids.pop(row)
        self._rows = {kept: index for index, kept in enumerate(self._ids)}
        return row
