"""What was done in an interactive session, step by step, as plain data: every step can be undone and done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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
    the mask it had before, None for none. unfinished: of the last round, if it did not come to its end.
    """

    objects: Mapping[int, str] = field(default_factory=dict)
    masks: Mapping[int, int] = field(default_factory=dict)
    rounds: tuple[int, ...] = ()
    pending: Mapping[int, int | None] = field(default_factory=dict)
    unfinished: Unfinished | None = None

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
