"""A small untrained space-time memory, a short film and masks in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.test_space_time_memory import numbers
from univs.interactive.session import Session
from univs.models.space_time_memory import SpaceTimeMemory
from univs.models.zoo import build_space_time

HEIGHT, WIDTH, COUNT = 30, 40, 9


def box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.fixture(scope="session")
def network() -> SpaceTimeMemory:
    torch.manual_seed(1)
    made = build_space_time(numbers()).eval().requires_grad_(False)
    for norm in (module for module in made.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight, 0.4, 0.8)
    made.memory_trunk.conv1.weight[:, 3:] *= 8  # what is remembered of masks shows in the answers
    made.memory_heads.value.weight *= 8
    made.decoder.predict.weight *= 8
    return made


@pytest.fixture
def film() -> list[np.ndarray]:
    draws = np.random.default_rng(0)
    return [draws.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(COUNT)]


@pytest.fixture
def new_session(network: SpaceTimeMemory, film: list[np.ndarray]) -> Callable[..., Session]:
    """A session of the film; options as for `Session`."""

    def make(**options: Any) -> Session:
        return Session(network, film, **{"size": 0, "memory_interval": 2, **options})

    return make
