"""What losses that are means over objects divide by: the objects of one batch, or those of all batches of a step."""

from __future__ import annotations

from torch import Tensor


class Counting:
    """Counts of this batch alone.

    Where several processes train together, `total` is the sum of their counts (`training.processes`).
    """

    processes: int = 1

    def total(self, count: Tensor) -> Tensor:
        """A count over the batches of all processes; called by all of them, in the same order."""
        return count

    def share(self, count: Tensor) -> Tensor:
        """The count of one process on average, of at least 1 in all.

        The mean over the processes of sums that are divided by it is the mean over the objects of all their batches.
        """
        return self.total(count).clamp_min(1) / self.processes


ALONE = Counting()
