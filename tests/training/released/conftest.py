"""Two labelled clips of two frames, and random choices that can be repeated."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from univs.models.features import TextFeatures
from univs.training.released import LabelledClip


class FixedDraws:
    """The same numbers whenever the same shape is asked for."""

    def __init__(self, uniform: float | None = None) -> None:
        self.given = uniform

    def permutation(self, length: int) -> Tensor:
        return torch.arange(length).flip(0)

    def uniform(self, *shape: int) -> Tensor:
        if self.given is not None:
            return torch.full(shape, self.given)
        seed = sum(size * 100**place for place, size in enumerate(shape))
        return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))

    def integers(self, high: int, count: int) -> Tensor:
        return torch.arange(count) % high


@pytest.fixture
def draws() -> FixedDraws:
    return FixedDraws()


@pytest.fixture
def clips() -> list[LabelledClip]:
    """Of 64 x 96 pixels. The first has four objects, one of which is never seen, another on the first frame alone; the
    second has one."""
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(4, 2, 64, 96, dtype=torch.bool)
    masks[0, :, 4:40, 8:50], masks[2, 0, 40:60, 50:90], masks[3, :, 20:60, 60:80] = True, True, True
    other = torch.zeros(1, 2, 64, 96, dtype=torch.bool)
    other[0, :, 10:50, 30:70] = True
    frames = torch.randint(0, 256, (2, 2, 3, 64, 96), generator=generator).to(torch.uint8)
    return [
        LabelledClip(frames[0], [3, 7], masks, torch.tensor([11, 4, 12, 15]), torch.tensor([2, 5, 1, 2])),
        LabelledClip(frames[1], [9, 2], other, torch.tensor([7]), torch.tensor([2])),
    ]


@pytest.fixture
def video() -> LabelledClip:
    """Five frames with three objects: one that is hidden on the third and fourth frame, one that is never seen."""
    masks = torch.zeros(3, 5, 64, 96, dtype=torch.bool)
    for t in range(5):
        masks[0, t, 4 + t : 40, 8 + t : 50], masks[2, t, 40:60, 50 + 3 * t : 90] = True, True
    masks[2, 2:4] = False
    frames = torch.randint(0, 256, (5, 3, 64, 96), generator=torch.Generator().manual_seed(3)).to(torch.uint8)
    return LabelledClip(frames, [3, 7, 8, 20, 31], masks, torch.tensor([11, 4, 12]), torch.tensor([2, 5, 1]))


@pytest.fixture
def texts() -> TextFeatures:
    """Of four expressions, three words each."""
    generator = torch.Generator().manual_seed(1)
    words, sentence = torch.randn(4, 3, 24, generator=generator), torch.randn(4, 24, generator=generator)
    return TextFeatures(words, torch.ones(4, 3, dtype=torch.bool), sentence)
