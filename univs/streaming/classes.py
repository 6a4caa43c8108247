"""The classes that are asked for: what the category-guided stream sorts everything into."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Classes:
    """K classes.

    names: what people call them. embeddings: K D of the text encoder. things: K bool, true for countable things, false
    for stuff.
    """

    names: tuple[str, ...]
    embeddings: Tensor
    things: Tensor

    @classmethod
    def of(cls, names: Sequence[str], embeddings: Tensor, things: Collection[int] | None = None) -> Classes:
        """Classes whose things are given by index; None: all are things."""
        is_thing = torch.tensor([things is None or index in things for index in range(len(names))])
        return cls(tuple(names), embeddings, is_thing.to(embeddings.device))
