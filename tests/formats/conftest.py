"""Clips of the built-in world, as the writers of public layouts take them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from univs.data.synth import SynthVS
from univs.formats.sample import VideoSample


@pytest.fixture(scope="session")
def synth_clips() -> list[VideoSample]:
    """Two clips of five frames, 48 x 80 pixels, with several things each."""
    world = SynthVS("val", (48, 80), 5, seed=3)
    return [world[1], world[2]]


def change(path: Path, edit: Callable[[Any], object]) -> None:
    """Edits a JSON file in place."""
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def ranks(labels: np.ndarray) -> np.ndarray:
    """Ids numbered from 1 in their order: a file tells their order alone."""
    return np.unique(np.append(0, labels), return_inverse=True)[1][1:].reshape(labels.shape)
