"""What processes that train together tell each other beside their gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from univs.losses.counting import ALONE, Counting


class CountingTogether(Counting):
    """Counts of all processes, so that their gradients are to the digit those of one process with all their batches."""

    def __init__(self, processes: int) -> None:
        self.processes = processes

    def total(self, count: Tensor) -> Tensor:
        """The sum over the processes."""
        everywhere = count.clone()
        torch.distributed.all_reduce(everywhere)
        return everywhere


def counting_of(processes: int) -> Counting:
    """How so many processes count."""
    return CountingTogether(processes) if processes > 1 else ALONE
