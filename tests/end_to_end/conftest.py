"""A model without training, and a small video: enough for everything but the quality of the masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from univs.models.own_files import save
from univs.models.zoo import build_model
from univs.video import VideoWriter

FRAMES, HEIGHT, WIDTH = 6, 64, 96


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> str:
    """Path of a weights file of the tiny model, not trained; it looks at the small frames here as they are."""
    torch.manual_seed(0)
    config = yaml.safe_load((repository / "configs" / "model" / "tiny.yaml").read_text())
    config["streaming"]["short_side"] = 0
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save(build_model(config), path, config)
    return str(path)


def moving_square(index: int) -> np.ndarray:
    """H x W, true on a square that moves to the right."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[20:44, 10 + 4 * index : 34 + 4 * index] = True
    return mask


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of 64x96 in a file whose header comes first."""
    path = tmp_path_factory.mktemp("video") / "square.mp4"
    noise = np.random.default_rng(0).integers(0, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    with VideoWriter(path, fps=12, crf=10) as writer:
        for index in range(FRAMES):
            frame = noise.copy()
            frame[moving_square(index)] = (230, 200, 40)
            writer.write(frame)
    return path
