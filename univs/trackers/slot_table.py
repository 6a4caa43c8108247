"""Which object sits in which slot of a network that has numbered ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class SlotTable:
    """Stable object id <-> slot, where the number of a slot matters; removing an object leaves its slot empty.

    Object n gets slot n - 1, as ids from 1 do officially; where there is none, or another sits there, the first slot
    that is neither taken nor that of an object which is expected.

    Args:
        least: slots that there are in any case.
        expected: ids that may come.
    """

    def __init__(self, least: int, expected: Iterable[int] = ()) -> None:
        self._slots: dict[int, int] = {}
        self._kept = {object_id - 1 for object_id in expected if 1 <= object_id <= least}
        self._least = least
        self.count = least
        """How many slots there are, taken or not."""

    @property
    def ids(self) -> tuple[int, ...]:
        """The objects, in the order in which they came."""
        return tuple(self._slots)

    def __contains__(self, object_id: object) -> bool:
        return object_id in self._slots

    def slot(self, object_id: int) -> int:
        """The slot of a known object; KeyError for an unknown one."""
        return self._slots[object_id]

    def add(self, object_ids: Sequence[int]) -> list[int]:
        """Give each id that is not known yet a slot; return the ids that were new. There are more slots if need be."""
        new = [object_id for object_id in dict.fromkeys(object_ids) if object_id not in self._slots]
        taken = set(self._slots.values())
        given: dict[int, int] = {}
        for object_id in sorted(new, key=lambda number: not 1 <= number <= self._least):  # those with their own first
            slot = object_id - 1
            if not 0 <= slot < self._least or slot in taken:
                slot = next(n for n in range(self.count + 1) if n not in taken and n not in self._kept)
            given[object_id] = slot
            taken.add(slot)
            self.count = max(self.count, slot + 1)
        self._slots.update({object_id: given[object_id] for object_id in new})
        return new

    def remove(self, object_id: int) -> int:
        """Forget an object and return the slot that it had. KeyError if it is not known."""
        return self._slots.pop(object_id)
