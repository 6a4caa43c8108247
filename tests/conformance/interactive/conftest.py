"""The golden figures of the interactive modules and STM: the weight rule of `mivos/README.md`, with its exceptions."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conformance.golden import Golden, golden_weight, read_golden_json, run_for_files
from univs.models.space_time_memory import SpaceTimeMemory
from univs.models.space_time_official import load_space_time
from univs.models.zoo import build_space_time, numbers_of

SCALED: dict[str, dict[str, float]] = {
    "propagation_network": {
        "decoder.up_16_8.skip_conv1.weight": 0.25,
        "decoder.up_8_4.skip_conv1.weight": 0.25,
        "decoder.pred.weight": 2.0,
    },
    "s2m_network": {"classifier.classifier.3.weight": 8.0},
    "fbrs_resnet50_dh128_network": {"head.layers.2.weight": 12.0},
    "stm_network": {
        "Decoder.RF3.convFS.weight": 0.25,
        "Decoder.RF2.convFS.weight": 0.25,
        "Decoder.pred2.weight": 2.0,
        "Encoder_M.conv1_m.weight": 3.0,
        "Encoder_M.conv1_o.weight": 3.0,
    },
}
SHIFTED: dict[str, dict[str, Any]] = {
    "propagation_network": {"decoder.pred.bias": 5.5},
    "s2m_network": {"classifier.classifier.3.bias": 7.0},
    "fbrs_resnet50_dh128_network": {"head.layers.2.bias": 2.4},
    "stm_network": {"Decoder.pred2.bias": np.array([0, -6.5], np.float32)},
}
SCALED_CHANNELS: dict[str, tuple[str, slice, float]] = {
    "propagation_network": ("mask_rgb_encoder.conv1.weight", slice(3, 5), 8.0),
    "s2m_network": ("backbone.conv1.weight", slice(3, 6), 4.0),
}
FOLDERS = {"stm_network": "stm"}
"""Of the networks whose figures do not lie with those of MiVOS."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "files(pattern): runs for every golden file whose name matches the pattern")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    run_for_files(metafunc, "mivos")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden file of a test that is marked with `files`."""
    return Golden(request.param)


@lru_cache(maxsize=4)
def described(network: str, file: str) -> Any:
    """What a JSON file says of an official network."""
    return read_golden_json(FOLDERS.get(network, "mivos"), file)[network]


@lru_cache(maxsize=4)
def official_tensors(network: str) -> dict[str, Tensor]:
    """An official state dict, its weights made by the rule; not to be changed."""
    tensors = {
        entry["name"]: golden_weight(entry["name"], entry["shape"]) for entry in described(network, "manifest.json")
    }
    for name, factor in SCALED.get(network, {}).items():
        tensors[name] = tensors[name] * np.float32(factor)
    for name, amount in SHIFTED.get(network, {}).items():
        tensors[name] = tensors[name] + torch.as_tensor(amount, dtype=torch.float32)
    if network in SCALED_CHANNELS:
        name, channels, factor = SCALED_CHANNELS[network]
        tensors[name][:, channels] *= factor
    return tensors


@pytest.fixture(scope="session")
def golden_tensors() -> Callable[[str], dict[str, Tensor]]:
    """Name of an official network -> its tensors, made by the rule."""
    return official_tensors


@pytest.fixture(scope="session")
def golden_shapes() -> Callable[[str], dict[str, list[int]]]:
    """Name of an official network -> name and shape of its tensors."""
    return lambda network: {entry["name"]: entry["shape"] for entry in described(network, "manifest.json")}


@pytest.fixture(scope="session")
def checksums() -> Callable[[str], dict[str, list[float]]]:
    """Name of an official network -> name of a tensor -> its sum and the sum of its absolute values."""
    return lambda network: described(network, "weight_checksums.json")


@lru_cache(maxsize=2)
def space_time_network(model: str) -> SpaceTimeMemory:
    """A space-time memory with the official weights of the rule, nothing of them left over, as sessions use it."""
    network = build_space_time(numbers_of(model))
    official = {"mivos": "propagation_network", "stm": "stm_network"}[model]
    load_space_time(network, model, official_tensors(official))
    return network.eval().requires_grad_(False).ready("float32", False)


@pytest.fixture(scope="session")
def space_time() -> Callable[[str], SpaceTimeMemory]:
    """mivos or stm -> the network with the weights of the rule."""
    return space_time_network
