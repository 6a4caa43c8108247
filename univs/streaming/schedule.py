"""What is memorised, and where: the rule that keeps the dense memory bounded."""

from __future__ import annotations

from dataclasses import dataclass

from univs.errors import UserError


@dataclass
class Entry:
    """A memorised frame: its place in the buffers, and whether it may be overwritten by later frames."""

    slot: int
    frame_index: int
    pinned: bool


class Schedule:
    """Frames with a prompt are pinned, every `interval`-th frame is kept for a while, `capacity` entries in all.

    The first entry is pinned for good. Of the later pinned frames the newest stay, so that two places (one, where
    the capacity is below three) are always left for the frames that pass by; a pinned frame that has to give way
    becomes an ordinary one and is overwritten when it is the oldest of those.
    """

    def __init__(self, capacity: int, interval: int) -> None:
        if capacity < 1 or interval < 1:
            raise UserError(f"capacity and interval must be at least 1, got {capacity} and {interval}")
        self.capacity = capacity
        self.interval = interval
        self._max_pinned = max(1, capacity - 2)
        self._entries: list[Entry] = []  # in time order

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The memorised frames in time order."""
        return tuple(self._entries)

    def due(self, frame_index: int) -> bool:
        """Whether a frame without a prompt should be memorised now."""
        return not self._entries or frame_index - self._entries[-1].frame_index >= self.interval

    def place(self, frame_index: int, pinned: bool) -> int | None:
        """Reserve a slot (0..capacity-1) for a frame; None where only pinned entries could make room for it."""
        if len(self._entries) < self.capacity:
            slot = min(set(range(self.capacity)) - {entry.slot for entry in self._entries})
        else:
            if pinned:
                self._release_oldest_pins()
            victim = next((entry for entry in self._entries if not entry.pinned), None)
            if victim is None:
                return None
            self._entries.remove(victim)
            slot = victim.slot
        self._entries.append(Entry(slot, frame_index, pinned))
        self._release_oldest_pins(spare=1)
        return slot

    def forget(self, slot: int) -> None:
        """Free the entry in a slot (nobody has a value in it any more)."""
        self._entries = [entry for entry in self._entries if entry.slot != slot]

    def _release_oldest_pins(self, spare: int = 0) -> None:
        later_pins = [entry for entry in self._entries[1:] if entry.pinned]
        allowed = self._max_pinned - 1 if spare else max(0, self._max_pinned - 2)
        for entry in later_pins[: max(0, len(later_pins) - allowed)]:
            entry.pinned = False
