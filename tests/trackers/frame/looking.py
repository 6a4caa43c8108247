"""A scripted model that takes a closer look."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.trackers.scripted import ScriptedModel

SIDE = 64


class Looking(nn.Module):
    """What a model has that looks closer."""

    side, cells, learnt, trunk = SIDE, SIDE // 4, True, None


def looks_closer(model: ScriptedModel) -> ScriptedModel:
    """The same model, that finds an object where the colour in the middle of the square is; `squares` keeps what it was
    shown: the squares, and what was known."""
    seen: list[tuple[Tensor, Tensor]] = []

    def refine(squares: Tensor, said: Tensor) -> Tensor:
        seen.append((squares, said))
        colours = squares[:, 0, 2::4, 2::4]
        middle = colours[:, 8, 8][:, None, None]
        return torch.where((colours - middle).abs() < 0.5, 8.0, -8.0)

    model.mask_refiner = Looking()  # type: ignore[assignment]
    model.pixel_std = torch.ones(3, 1, 1)
    model.refine = refine  # type: ignore[method-assign]
    model.squares = seen  # type: ignore[assignment]
    return model
