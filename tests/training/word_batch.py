"""Two images with named things, and a text encoder of random sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from univs.formats.sample import NO_CLASS
from univs.models.features import TextFeatures

NAMES = ("bar", "block", "sky")


class Letters:
    """A text encoder whose sentences are random, the same for the same last word."""

    dim = 24

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        rows = []
        for text in texts:
            seed = sum(map(ord, text.split()[-1]))
            rows.append(torch.randn(self.dim, generator=torch.Generator().manual_seed(seed)))
        sentence = torch.nn.functional.normalize(torch.stack(rows), dim=-1)
        return TextFeatures(sentence[:, None], torch.ones(len(texts), 1, dtype=torch.bool), sentence)

    def encode_categories(self, names: Sequence[str]) -> Tensor:
        return self.encode(names).sentence


def batch() -> dict[str, Any]:
    """Two images: a bar and a block; a block under a sky, where nothing else is known."""
    objects = torch.zeros(2, 64, 64, dtype=torch.uint8)
    objects[0, 8:30, 8:56] = 1
    objects[0, 36:60, 20:40] = 2
    objects[1, 30:60, 10:50] = 1
    classes = torch.full((2, 64, 64), NO_CLASS)
    classes[0][objects[0] == 1], classes[0][objects[0] == 2] = 0, 1
    classes[1][objects[1] == 1] = 1
    classes[1, :16] = 2
    colours = torch.tensor([[40, 40, 40], [250, 60, 30], [20, 60, 250]], dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 5, (2, 64, 64, 3), dtype=torch.uint8, generator=generator)
    frames = (colours[(classes + 1).clamp_max(2)] + noise).permute(0, 3, 1, 2).contiguous()
    return {
        "frames": frames,
        "objects": objects,
        "classes": classes,
        "object_ids": torch.tensor([[1, 2], [1, 0]]),
        "object_classes": torch.tensor([[0, 1], [1, NO_CLASS]]),
        "complete": torch.tensor([True, False]),
        "stuffed": torch.tensor([False, True]),
        "vocabulary": torch.ones(2, 3, dtype=torch.bool),
        "stuff": torch.tensor([[False, False, True]] * 2),
        "expressions": [(0, 2, "the lower block")],
    }
