"""A scripted model that takes a closer look."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.trackers.scripted import ScriptedModel
from univs.models.mask_refiner import Refined

SIDE = 64


class Looking(nn.Module):
    """What a model has that looks closer."""

    side, cells = SIDE, SIDE // 4


def looks_closer(model: ScriptedModel, *qualities: float) -> ScriptedModel:
    """The same model, that finds an object where its colour, in the middle of the square, is; it is never that sure of
    anything as of the qualities, one after the other."""
    seen: list[tuple[Tensor, Tensor]] = []

    def refine(squares: Tensor, said: Tensor) -> Refined:
        seen.append((squares, said))
        colours = squares[:, 0, 2::4, 2::4]
        middle = colours[:, 8, 8][:, None, None]
        thought = torch.tensor(qualities or (0.5,)).logit().expand(len(squares)) if len(qualities) < 2 else None
        return Refined(
            torch.where((colours - middle).abs() < 0.5, 8.0, -8.0),
            torch.tensor(qualities).logit() if thought is None else thought,
        )

    model.mask_refiner = Looking()  # type: ignore[assignment]
    model.pixel_std = torch.ones(3, 1, 1)
    model.refine = refine  # type: ignore[method-assign]
    model.squares = seen  # type: ignore[assignment]
    return model
