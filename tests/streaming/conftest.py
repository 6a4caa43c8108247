"""A small model with random weights, and a small moving world to show it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from univs.models.univs import UniVS
from univs.models.zoo import build_model

CONFIG = {
    "name": "small",
    "pixel_mean": [127, 127, 127],
    "pixel_std": [128, 128, 128],
    "backbone": {"name": "tf_efficientnet_lite0", "channels_last": True, "freeze_norm": True},
    "pixel_decoder": {"kind": "light_fpn", "widths": [16, 16, 16, 8], "dim": 64, "mask_dim": 8},
    "visual_sampler": {"tokens": 8, "cells": "covered", "points": "tokens", "sign_embedding": True},
    "mask_decoder": {
        "dim": 64, "mask_dim": 8, "heads": 2, "ffn": 32, "layers": 3, "queries": 4, "text_dim": 8,
        "time": "none", "blank_tokens": "masked",
    },
    "dense_memory": {
        "key_dim": 8, "value_dim": 8, "local_key_dim": 8, "local_value_dim": 4, "local_radius": 3, "top_k": 10,
        "widths": (16, 8, 8),
    },
    "streaming": {
        "short_side": 0, "clip_length": 1, "clip_stride": 1, "initial_query": "memory", "memory_encoding": "own_frame",
        "self_attention": "sep-blocked", "token_frames": 2, "dense_frames": 4, "dense_interval": 3,
    },
}  # fmt: skip


def small_model(**changes: object) -> UniVS:
    """Random weights, moved so that masks are neither empty nor full on a frame of noise."""
    torch.manual_seed(0)
    model = build_model({**CONFIG, **changes}).eval()
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.integers(0, 255, (1, 3, 64, 96), dtype=np.uint8))
    with torch.no_grad():
        features = model.encode_image(model.normalize(noise))
        spread = features.mask_features.std((0, 2, 3), keepdim=True)
        last = model.pixel_decoder.mask_features
        last.bias -= features.mask_features.mean((0, 2, 3))
        for parameter in (last.weight, last.bias):
            parameter /= spread.view(-1, *[1] * (parameter.ndim - 1))
    return model


@pytest.fixture(scope="session")
def model() -> UniVS:
    return small_model()


@pytest.fixture(scope="session")
def prompt_only_model() -> UniVS:
    """Without a dense memory."""
    return small_model(dense_memory=None)


def moving_squares(count: int, height: int = 65, width: int = 97) -> tuple[list[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Frames with three squares that move, and the label map of the first one (ids 1, 2, 3)."""
    rng = np.random.default_rng(0)
    background = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    frames, first = [], np.zeros((height, width), np.uint8)
    for index in range(count):
        frame = background.copy()
        for number, (y, x) in enumerate(((4, 6), (24, 60), (40, 10)), start=1):
            place = (slice(y, y + 18), slice(x + index % 20, x + index % 20 + 18))
            frame[place] = 255 - 70 * number
            if index == 0:
                first[place] = number
        frames.append(frame)
    return frames, first
