"""What processes that train together tell each other beside their gradients, and what they draw alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
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


def common_draw(batch: Mapping[str, Any]) -> float:
    """0..1, alike in all processes: of the `step` in the batch alone, or of torch's generator where it has none."""
    if "step" not in batch:
        return float(torch.rand(()))
    return float(np.random.default_rng(int(batch["step"])).random())
