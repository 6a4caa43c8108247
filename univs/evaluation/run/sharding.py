"""Videos dealt out to the processes that torchrun starts; one process is the special case."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from univs.devices import choose_device
from univs.errors import UserError

if TYPE_CHECKING:
    from typing_extensions import Self

PATIENCE = timedelta(days=7)
"""How long a process that is done waits for the others."""


@dataclass(frozen=True)
class World:
    """The processes of a run, and which one this is. A context manager, within which they can wait for each other."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> World:
        """As torchrun tells it: RANK, WORLD_SIZE and LOCAL_RANK. Raises UserError where they make no sense."""
        try:
            rank, size = int(environment.get("RANK", 0)), int(environment.get("WORLD_SIZE", 1))
            world = cls(rank, size, int(environment.get("LOCAL_RANK", rank)))
        except ValueError as error:
            raise UserError(f"RANK, WORLD_SIZE and LOCAL_RANK must be numbers: {error}") from error
        if not 0 <= rank < size:
            raise UserError(f"RANK is {rank} and WORLD_SIZE {size}; expected a rank from 0 to {size - 1}")
        return world

    def device(self, name: str) -> str:
        """The device of this process: "auto" is a GPU of its own if there is one, else the CPU."""
        name = choose_device(name)
        if name == "cuda" and self.size > 1:
            import torch

            return f"cuda:{self.local_rank % max(1, torch.cuda.device_count())}"
        return name

    def wait(self) -> None:
        """Returns once every process has come here."""
        if self.size > 1:
            import torch.distributed

            torch.distributed.barrier()

    def __enter__(self) -> Self:
        if self.size > 1:
            import torch.distributed

            torch.distributed.init_process_group("gloo", rank=self.rank, world_size=self.size, timeout=PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.size > 1:
            import torch.distributed

            torch.distributed.destroy_process_group()


def deal(lengths: Sequence[int], processes: int) -> list[list[int]]:
    """Places of videos for each process: the longest first, each to the process with the fewest frames so far."""
    shares: list[list[int]] = [[] for _ in range(processes)]
    load = [0] * processes
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        least = load.index(min(load))
        shares[least].append(place)
        load[least] += lengths[place]
    return shares
