"""A model of the shape of `tiny` with few channels, and features to feed its parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from univs.models import ImageFeatures, UniVS, build_model


@pytest.fixture
def small_config() -> dict[str, Any]:
    """The numbers of a model that is built and run within a moment."""
    return {
        "name": "small",
        "pixel_mean": [127, 127, 127],
        "pixel_std": [128, 128, 128],
        "backbone": {"name": "tf_efficientnet_lite0", "channels_last": True, "freeze_norm": False},
        "pixel_decoder": {"kind": "light_fpn", "widths": [24, 16, 16, 8], "dim": 32, "mask_dim": 8},
        "visual_sampler": {
            "tokens": 6,
            "cells": "covered",
            "points": "tokens",
            "sign_embedding": True,
            "kind_embedding": True,
        },
        "mask_decoder": {
            "dim": 32,
            "mask_dim": 8,
            "heads": 2,
            "ffn": 32,
            "layers": 3,
            "queries": 4,
            "text_dim": 12,
            "time": "none",
            "blank_tokens": "masked",
        },
        "dense_memory": None,
    }


@pytest.fixture
def small_model(small_config: dict[str, Any]) -> UniVS:
    torch.manual_seed(0)
    return build_model(small_config).eval()


@pytest.fixture
def random_features() -> ImageFeatures:
    """Features of four frames of 64 x 96 pixels that fit the small model."""
    generator = torch.Generator().manual_seed(1)

    def maps(channels: int, stride: int) -> torch.Tensor:
        return torch.randn(4, channels, 64 // stride, 96 // stride, generator=generator)

    return ImageFeatures(
        (maps(32, 32), maps(32, 16), maps(32, 8)), maps(8, 4), {16: maps(16, 16), 8: maps(16, 8), 4: maps(8, 4)}
    )
