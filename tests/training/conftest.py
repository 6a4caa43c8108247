"""A model of few channels, so that a real training step takes hundredths of a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from univs.models.backbone import Backbone
from univs.models.dense_memory import DenseMemory
from univs.models.mask_decoder import MaskDecoder
from univs.models.mask_refiner import MaskRefiner
from univs.models.pixel_decoder import LightPixelDecoder
from univs.models.prompt_answers import PromptAnswers
from univs.models.text_prompts import TextPrompter
from univs.models.univs import UniVS
from univs.models.visual_sampler import VisualSampler
from univs.models.word_head import WordHead


class FourConvolutions(nn.Module):
    """Stands in for the image network: maps at strides 4, 8, 16, 32."""

    channels = (16, 24, 32, 32)
    memory_format = torch.contiguous_format

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 7, stride=4, padding=3)
        pairs = zip(self.channels, self.channels[1:], strict=False)
        self.later = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)

    def parts(self) -> list[nn.Module]:
        return [self.stem, *self.later]

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [F.relu(self.stem(images))]
        for layer in self.later:
            maps.append(F.relu(layer(maps[-1])))
        return maps


def build_small(
    words: bool = False,
    answers: bool = False,
    backbone: str | None = None,
    looks: bool = False,
    trunk: str | None = None,
) -> UniVS:
    torch.manual_seed(0)
    encoder: Any = Backbone(backbone) if backbone else FourConvolutions()
    pixel_decoder = LightPixelDecoder(tuple(encoder.channels), widths=(32, 32, 32, 16), dim=32, mask_dim=16)
    return UniVS(
        encoder,
        pixel_decoder,
        VisualSampler(32, tokens=8, position_bands=2),
        MaskDecoder(dim=32, mask_dim=16, heads=4, ffn=64, layers=3, queries=5, text_dim=24),
        DenseMemory(
            pixel_decoder.pyramid_channels,
            16,
            key_dim=16,
            value_dim=24,
            local_key_dim=16,
            local_value_dim=8,
            widths=(32, 32, 16),
        ),
        TextPrompter(24, 32, 4) if words else None,
        WordHead(32, 24, 32) if words else None,
        PromptAnswers(32, 16, extra=2) if answers else None,
        MaskRefiner(encoder.channels, side=64, widths=(8, 8, 16), layers=1, trunk=trunk) if looks else None,
        pixel_mean=(127, 127, 127),
        pixel_std=(64, 64, 64),
    )


@pytest.fixture
def small_model() -> UniVS:
    """Follows objects; the same weights every time."""
    return build_small()


@pytest.fixture
def small_word_model() -> UniVS:
    """Takes words too."""
    return build_small(words=True)


@pytest.fixture
def small_official_model() -> UniVS:
    """Of the official kind: tokens of a fixed number for each prompt, which know the time, and no dense memory."""
    torch.manual_seed(0)
    return UniVS(
        FourConvolutions(),  # type: ignore[arg-type]
        LightPixelDecoder((16, 24, 32, 32), widths=(32, 32, 32, 16), dim=32, mask_dim=16),
        VisualSampler(32, tokens=8, cells="official", points="repeat", sign_embedding=False, kind_embedding=False),
        MaskDecoder(
            dim=32,
            mask_dim=16,
            heads=4,
            ffn=64,
            layers=3,
            queries=5,
            text_dim=24,
            time="arbitrary",
            blank_tokens="attended",
        ),
        None,
        TextPrompter(24, 32, 4),
        pixel_mean=(127, 127, 127),
        pixel_std=(64, 64, 64),
    )


@pytest.fixture
def small_answering_model() -> UniVS:
    """Gives three answers to a prompt."""
    return build_small(answers=True)


@pytest.fixture
def fixed_points(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Tensor]:
    """Masks are compared at a grid of 8 x 8 points, the same for all rows, in place of points drawn at random."""
    at = (torch.arange(8) + 0.5) / 8
    grid = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).view(1, 64, 2)

    def points(rows: int) -> Tensor:
        return grid.expand(rows, -1, -1)

    monkeypatch.setattr("univs.losses.set_criterion.uncertain_points", lambda logits, count, draws: points(len(logits)))
    return points


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two photos with a mask each."""
    for kind in ("images", "masks"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
    for name in "ab":
        pixels = np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)
        mask = np.zeros((64, 80), np.uint8)
        mask[16:48, 20:60] = 255
        Image.fromarray(pixels).save(tmp_path / "photos" / "images" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "photos" / "masks" / f"{name}.png")
    return tmp_path / "photos"
