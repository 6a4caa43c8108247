"""Where random choices come from: an argument, so that a test, or a run that is to be repeated, can give its own."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Draws(Protocol):
    """Random choices; whoever takes none where it may makes a fixed choice, or asks torch."""

    def permutation(self, length: int) -> Tensor:
        """A permutation of 0..length-1."""
        ...

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in 0..1."""
        ...

    def integers(self, high: int, count: int) -> Tensor:
        """`count` whole numbers in 0..high-1, each drawn by itself."""
        ...


class TorchDraws:
    """Choices of a generator of torch, made on the CPU; None: of the common one."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self._generator = generator

    def permutation(self, length: int) -> Tensor:
        return torch.randperm(length, generator=self._generator)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self._generator)

    def integers(self, high: int, count: int) -> Tensor:
        return torch.randint(high, (count,), generator=self._generator)
