"""What the engine remembers of the objects: prompt tokens and dense entries, both of fixed size.

All buffers are allocated once for a frame size and grow only when there are more objects than ever before, so memory
use does not depend on the length of the video.

Shapes: N objects (rows), R prompt tokens of one frame, L all tokens of an object, C channels, S dense entries,
P positions at stride 16, Ck Cv key and value channels, Cl local value channels, h8 w8 feature size at stride 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from univs.errors import UserError
from univs.models.dense_memory import DenseMemory, MemoryKey, MemoryValue, Readout
from univs.models.features import PromptTokens, fit_width


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


PINNED_PROMPTS = 4
"""How many prompts of one object are kept for good: the first, and the newest of those that came later."""


class TokenPool:
    """Prompt tokens: per object those of its own prompts (pinned) and those of its last predicted masks.

    Args:
        width: R, tokens kept of one frame.
        recent_frames: of how many frames the tokens of the predicted mask are kept.
    """

    def __init__(self, width: int, recent_frames: int) -> None:
        self.width = width
        self._recent_frames = recent_frames
        self._features: Tensor | None = None  # N L C, the recent frames first, then the pinned prompts
        self._positions: Tensor | None = None
        self._valid: Tensor | None = None  # N L
        self._pinned: list[int] = []  # per row: prompts pinned so far
        self._written: list[int] = []  # per row: predicted masks written so far

    def add(self, count: int) -> None:
        """Make room for `count` more objects, in the rows behind those that exist."""
        self._pinned += [0] * count
        self._written += [0] * count
        if self._features is not None:
            self._features = grown(self._features, len(self._pinned))
            self._positions = grown(self._positions, len(self._pinned))
            self._valid = grown(self._valid, len(self._pinned))

    def remove(self, row: int) -> None:
        """Forget a row; the rows behind it move up."""
        for buffer in (self._features, self._positions, self._valid):
            close_gap(buffer, row, len(self._pinned))
        del self._pinned[row], self._written[row]

    def pin(self, row: int, tokens: PromptTokens) -> None:
        """Keep the tokens of a prompt: 1 R C. Beyond four prompts the oldest but the first gives way."""
        count = self._pinned[row]
        place = count if count < PINNED_PROMPTS else 1 + (count - 1) % (PINNED_PROMPTS - 1)
        self._write([row], [self._recent_frames + place], tokens)
        self._pinned[row] += 1

    def write(self, rows: Sequence[int], tokens: PromptTokens) -> None:
        """Keep the tokens of predicted masks, one row of `tokens` (n R C) for each of `rows`; the oldest give way."""
        if self._recent_frames:
            self._write(rows, [self._written[row] % self._recent_frames for row in rows], tokens)
        for row in rows:
            self._written[row] += 1

    def tokens(self, rows: Sequence[int]) -> PromptTokens:
        """Everything known of these objects: n L C, L as short as the number of prompts allows."""
        if self._features is None or self._positions is None or self._valid is None:
            raise RuntimeError("no object has been given a prompt yet")
        most_pins = max(min(self._pinned[row], PINNED_PROMPTS) for row in rows)
        length = (self._recent_frames + most_pins) * self.width
        chosen = selection(rows)
        return PromptTokens(
            self._features[chosen, :length], self._positions[chosen, :length], self._valid[chosen, :length]
        )

    def _write(self, rows: Sequence[int], places: Sequence[int], tokens: PromptTokens) -> None:
        tokens = fit_width(tokens, self.width)
        if self._features is None or self._positions is None or self._valid is None:
            shape = (capacity_for(len(self._pinned)), (self._recent_frames + PINNED_PROMPTS) * self.width)
            self._features = tokens.features.new_zeros(*shape, tokens.features.shape[-1])
            self._positions = torch.zeros_like(self._features)
            self._valid = torch.zeros(shape, dtype=torch.bool, device=tokens.features.device)
        for index, (row, place) in enumerate(zip(rows, places, strict=True)):
            span = slice(place * self.width, (place + 1) * self.width)
            self._features[row, span] = tokens.features[index]
            self._positions[row, span] = tokens.positions[index]
            self._valid[row, span] = tokens.valid[index]


class DensePool:
    """Dense entries of the memorised frames, and the previous frame, for all objects.

    Slot 0 is the temporary place of the previous frame, slots 1..K those that the schedule hands out. Keys are stored
    once; an object has a value in an entry only if it was known on that frame.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._keys: Tensor | None = None  # S P Ck+2
        self._values: Tensor | None = None  # N S P Cv
        self._local: Tensor | None = None  # N Cl+1 h8 w8, of the previous frame
        self._has_value: list[list[bool]] = []  # N x S
        self._previous: MemoryKey | None = None
        self._temporary = False  # whether slot 0 holds the previous frame

    def add(self, count: int) -> None:
        """Make room for `count` more objects, in the rows behind those that exist."""
        self._has_value += [[False] * (self.schedule.capacity + 1) for _ in range(count)]
        if self._values is not None:
            self._values = grown(self._values, len(self._has_value))
            self._local = grown(self._local, len(self._has_value))

    def remove(self, row: int) -> None:
        """Forget a row; the rows behind it move up. Entries that say nothing of anybody are freed."""
        for buffer in (self._values, self._local):
            close_gap(buffer, row, len(self._has_value))
        del self._has_value[row]
        for entry in self.schedule.entries:
            if not any(known[entry.slot + 1] for known in self._has_value):
                self.schedule.forget(entry.slot)

    def knows(self, row: int) -> bool:
        """Whether the object has an entry."""
        return any(self._has_value[row])

    def write(self, frame_index: int, key: MemoryKey, value: MemoryValue, *, keep: bool, pinned: bool) -> None:
        """Take in a frame that is now the previous one.

        Args:
            key: keys of this one frame.
            value: values of all N objects on it, in the order of their rows.
            keep: whether the frame may stay when it is no longer the previous one, should the schedule want it.
            pinned: whether it must (a prompt came on it).
        """
        if self._keys is None or self._values is None or self._local is None:
            slots, rows = self.schedule.capacity + 1, capacity_for(len(self._has_value))
            self._keys = touched(key.memory, slots, *key.memory.shape[1:])
            self._values = touched(value.global_value, rows, slots, *value.global_value.shape[2:])
            self._local = touched(value.local_value, rows, *value.local_value.shape[2:])
        place = None
        if pinned or (keep and self.schedule.due(frame_index)):
            place = self.schedule.place(frame_index, pinned)
        slot = 0 if place is None else place + 1
        count = len(self._has_value)
        self._temporary = slot == 0
        self._keys[slot] = key.memory[0]
        self._values[:count, slot] = value.global_value[0]
        self._local[:count] = value.local_value[0]
        self._previous = key
        for known in self._has_value:
            known[0] = self._temporary
            known[slot] = True

    def read(self, dense: DenseMemory, key: MemoryKey, rows: Sequence[int]) -> Readout:
        """Ask the memory about these objects (each must have an entry) on the frame of `key`."""
        if self._local is None or self._previous is None:
            raise RuntimeError("the dense memory is empty")
        window = dense.local_window(key, self._previous)
        return dense.readout(key, self._read_global(dense, key, rows), window, self._local[selection(rows)][None])

    def _read_global(self, dense: DenseMemory, key: MemoryKey, rows: Sequence[int]) -> Tensor:
        """1 n P Cv. Objects that are known on the same entries share one read; mostly that is all of them."""
        if self._keys is None or self._values is None:
            raise RuntimeError("the dense memory is empty")
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, row in enumerate(rows):
            slots = tuple(slot for slot, known in enumerate(self._has_value[row]) if known)
            groups.setdefault(slots, []).append(index)
        answers: list[Tensor] = [key.query] * len(rows)
        for slots, members in groups.items():
            chosen = selection(slots)
            memory = self._keys[chosen].flatten(0, 1)[None]
            values = self._values[selection([rows[index] for index in members])][:, chosen].flatten(1, 2)[None]
            for index, answer in zip(members, dense.read(key, memory, values)[0], strict=True):
                answers[index] = answer
        return torch.stack(answers)[None]


def selection(rows: Sequence[int]) -> slice | list[int]:
    """An index for these rows: a slice, which copies nothing, where they are consecutive."""
    if list(rows) == list(range(rows[0], rows[0] + len(rows))):
        return slice(rows[0], rows[0] + len(rows))
    return list(rows)


def capacity_for(count: int) -> int:
    """Rows to allocate for `count` objects: the next power of two."""
    return 1 << max(0, count - 1).bit_length()


def touched(like: Tensor, *shape: int) -> Tensor:
    """A zero tensor whose pages are really there, so that memory use is final from the start."""
    return torch.empty(shape, dtype=like.dtype, device=like.device).fill_(0)


def grown(buffer: Tensor | None, count: int) -> Tensor | None:
    """The buffer itself if it has `count` rows, else a larger copy."""
    if buffer is None or buffer.shape[0] >= count:
        return buffer
    larger = touched(buffer, capacity_for(count), *buffer.shape[1:])
    larger[: buffer.shape[0]] = buffer
    return larger


def close_gap(buffer: Tensor | None, row: int, count: int) -> None:
    """Move rows row+1..count-1 up by one and zero the last one, which a new object may get."""
    if buffer is None:
        return
    for index in range(row, count - 1):
        buffer[index] = buffer[index + 1]
    buffer[count - 1] = 0
