"""What was done in an interactive session, step by step, as plain data: every step can be undone and done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from univs.prompts import LARGEST_ID

STEPS = 100
"""Steps that can be undone; what only older ones need is deleted."""


@dataclass(frozen=True)
class Unfinished:
    """A propagation that was cancelled or killed: its round, and the frame that it went out from."""

    round: int
    start: int


@dataclass(frozen=True)
class State:
    """A moment of the work. Files are named by numbers and never change, so a state is small.

    objects: id -> name, in the order in which they came. masks: interacted frame -> number of its mask. rounds: numbers
    of the propagations that count, the newest last. pending: interacted frame that was not propagated yet -> number of
    the mask it had before, None for none. unfinished: of the last round, if it did not come to its end. removed: id of
    an object that was removed -> numbers of the newest mask and round of then (0: none); what they and older ones have
    of it counts no more, should its id come again.
    """

    objects: Mapping[int, str] = field(default_factory=dict)
    masks: Mapping[int, int] = field(default_factory=dict)
    rounds: tuple[int, ...] = ()
    pending: Mapping[int, int | None] = field(default_factory=dict)
    unfinished: Unfinished | None = None
    removed: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def next_id(self) -> int:
        """Of a new object: above all that there were; if these reach the largest, the lowest that is free."""
        above = 1 + max((*self.objects, *self.removed), default=0)
        free = (number for number in range(1, LARGEST_ID + 1) if number not in self.objects)
        return above if above <= LARGEST_ID else next(free, above)

    def in_mask(self, number: int) -> tuple[int, ...]:
        """The objects of which a mask counts, if it has them."""
        return tuple(one for one in self.objects if number > self.removed.get(one, (0, 0))[0])

    def in_round(self, number: int) -> tuple[int, ...]:
        """The objects of which a round counts, if it has them."""
        return tuple(one for one in self.objects if number > self.removed.get(one, (0, 0))[1])

    def without(self, object_id: int) -> State:
        """An object is no more, nor what any mask or round has of it."""
        objects = {number: name for number, name in self.objects.items() if number != object_id}
        newest = max(self.masks.values(), default=0), max(self.rounds, default=0)
        return replace(self, objects=objects, removed={**self.removed, object_id: newest})

    def with_mask(self, frame: int, number: int) -> State:
        """A mask was made on a frame; it takes the place of any other there."""
        before = self.pending.get(frame, self.masks.get(frame))
        return replace(self, masks={**self.masks, frame: number}, pending={**self.pending, frame: before})

    def started(self, number: int, start: int) -> State:
        """A round goes out from a frame; one from there that did not come to its end counts no more."""
        rounds = self.rounds
        if self.unfinished is not None and self.unfinished.start == start:
            rounds = tuple(one for one in rounds if one != self.unfinished.round)
        return replace(self, rounds=(*rounds, number), unfinished=Unfinished(number, start))

    def finished(self, start: int) -> State:
        """The round from a frame has come to its end."""
        pending = {frame: before for frame, before in self.pending.items() if frame != start}
        return replace(self, pending=pending, unfinished=None)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "objects": [[number, name] for number, name in self.objects.items()],
            "masks": [[frame, number] for frame, number in self.masks.items()],
            "rounds": list(self.rounds),
            "pending": [[frame, number] for frame, number in self.pending.items()],
            "unfinished": None if self.unfinished is None else [self.unfinished.round, self.unfinished.start],
            "removed": [[number, *newest] for number, newest in self.removed.items()],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> State:
        """The inverse of `to_json`. KeyError, TypeError or ValueError for other values."""
        unfinished = values["unfinished"]
        return cls(
            {int(number): str(name) for number, name in values["objects"]},
            {int(frame): int(number) for frame, number in values["masks"]},
            tuple(int(number) for number in values["rounds"]),
            {int(frame): None if number is None else int(number) for frame, number in values["pending"]},
            None if unfinished is None else Unfinished(*map(int, unfinished)),
            {int(number): (int(mask), int(last)) for number, mask, last in values.get("removed", ())},
        )


class History:
    """The states of a session up to the newest, and which of them counts."""

    def __init__(self, states: Sequence[State] = (State(),), position: int = 0) -> None:
        self.states, self.position = list(states), position

    @property
    def now(self) -> State:
        """The state that counts."""
        return self.states[self.position]

    @property
    def undoable(self) -> int:
        """Steps that can be undone."""
        return self.position

    @property
    def redoable(self) -> int:
        """Undone steps that can be done again."""
        return len(self.states) - 1 - self.position

    def push(self, state: State) -> None:
        """A step was made; what was undone before it cannot be done again."""
        self.states = [*self.states[: self.position + 1], state][-STEPS - 1 :]
        self.position = len(self.states) - 1

    def replace(self, state: State) -> None:
        """The last step has come further."""
        self.states[self.position] = state

    def move(self, steps: int) -> None:
        """Back or forth by so many steps, which must be there."""
        self.position += steps
        assert 0 <= self.position < len(self.states)

    def masks(self) -> set[int]:
        """Numbers of all masks that some state needs."""
        made = {number for state in self.states for number in state.masks.values()}
        return made | {number for state in self.states for number in state.pending.values() if number is not None}

    def rounds(self) -> set[int]:
        """Numbers of all rounds that some state needs."""
        return {number for state in self.states for number in state.rounds}
