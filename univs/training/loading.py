"""Batches for the trainer: fresh data from where a run left off, from processes that end when it ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from univs.errors import UserError


class _Told(Dataset[Any]):
    """Samples of another data set; where one cannot be had, the UserError that says why.

    Raised in a process of the loader it would come back with the whole traceback as its text.
    """

    def __init__(self, samples: Dataset[Any]) -> None:
        self.samples = samples

    def __getitem__(self, index: int) -> Any:
        try:
            return self.samples[index]
        except UserError as error:
            return error

    def collate(self, collate: Callable[[Sequence[Any]], dict[str, Any]], samples: Sequence[Any]) -> Any:
        """A batch, or the first error among the samples."""
        errors = [sample for sample in samples if isinstance(sample, UserError)]
        return errors[0] if errors else collate(samples)


class _From(Sampler[int]):
    """Indices from `start` on, every `world`-th, without end."""

    def __init__(self, start: int, rank: int, world: int) -> None:
        self.start, self.rank, self.world = start, rank, world

    def __iter__(self) -> Iterator[int]:
        index = self.start + self.rank
        while True:
            yield index
            index += self.world


def batches(
    clips: Dataset[Any],
    size: int,
    workers: int,
    rank: int,
    world: int,
    collate: Callable[[Sequence[Any]], dict[str, Any]],
) -> Callable[[int], Generator[dict[str, Any], None, None]]:
    """A function from the number of batches already taken to batches that go on from there.

    They raise the UserError of a sample that cannot be had. Closed, they have ended the loader's processes.
    """
    told = _Told(clips)

    def start(taken: int) -> Generator[dict[str, Any], None, None]:
        loader = DataLoader(
            told,
            batch_size=size,
            sampler=_From(taken * size * world, rank, world),
            num_workers=workers,
            collate_fn=partial(told.collate, collate),
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=4 if workers else None,
            worker_init_fn=_leave_signals_to_the_trainer if workers else None,
        )
        loaded = iter(loader)
        try:
            for batch in loaded:
                if isinstance(batch, UserError):
                    raise batch
                yield batch
        finally:
            # Torch does this when the last reference goes, which a traceback may hold until the interpreter ends. In
            # this order (the thread that pins memory, then the processes it reads from) none of them complains.
            if workers:
                loaded._shutdown_workers()  # type: ignore[attr-defined]

    return start


def _leave_signals_to_the_trainer(worker: int) -> None:
    """Ctrl-C reaches all processes of a terminal; those of the loader end when the trainer ends them, or is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
