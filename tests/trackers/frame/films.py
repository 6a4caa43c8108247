"""Films of rectangles, and what a scripted model makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.trackers.scripted import SURE, Rectangle, ScriptedMemory, ScriptedModel, picture
from univs.prompts import Mask, Prompt
from univs.results import FrameResult
from univs.streaming import Session

PLACES: dict[int, Rectangle] = {1: (8, 8, 24, 24), 2: (40, 32, 56, 64), 3: (8, 64, 24, 88)}


def moved(index: int, *labels: int) -> dict[int, Rectangle]:
    """Where the objects are on a frame: they go up and down by a cell."""
    step = 4 * (index % 2)
    places = {label: PLACES[label] for label in labels or PLACES}
    return {label: (top + step, left, bottom + step, right) for label, (top, left, bottom, right) in places.items()}


def film(count: int, *labels: int) -> list[NDArray[np.uint8]]:
    return [picture(index, moved(index, *labels)) for index in range(count)]


def run(
    model: ScriptedModel, frames: Sequence[NDArray[np.uint8]], prompts: Mapping[int, Sequence[Prompt]], **options: Any
) -> list[FrameResult]:
    with Session(model, keep_results=False, **options) as session:
        return [session.step(frame, prompts.get(index, ())) for index, frame in enumerate(frames)] + session.flush()


def shown(frame: NDArray[np.uint8], *labels: int) -> list[Prompt]:
    """The masks of these colours, under their numbers."""
    return [Mask(label, frame[..., 0] == label) for label in labels]


def same(mask: NDArray[Any], wanted: NDArray[Any], differ: int = 8) -> bool:
    """Whether two masks are equal but for the corners that enlarging rounds off."""
    return bool(np.logical_xor(mask, wanted).sum() <= differ)


def memory_of(model: ScriptedModel) -> ScriptedMemory:
    assert isinstance(model.dense_memory, ScriptedMemory)
    return model.dense_memory


def everywhere(value: float = SURE) -> Tensor:
    return torch.full((16, 24), value)
