"""The golden figures of RVOS: its files by name, and its networks with the weights of the rule of their README."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conformance.golden import Golden, golden_weight, read_golden_json, run_for_files
from univs.models.rvos import RVOS
from univs.models.rvos_official import load_rvos
from univs.models.zoo import build_network, numbers_of

MASK_CHANNELS = (128, 256, 128, 64)
"""Of the gates, level by level: the mask's where there is one, else the first of the states."""
MODELS = {"one": ("rvos", "decoder_one_shot"), "zero": ("rvos_zero_shot", "decoder_zero_shot")}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "files(pattern): runs for every golden file whose name matches the pattern")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    run_for_files(metafunc, "rvos")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden file of a test that is marked with `files`."""
    return Golden(request.param)


def described(file: str) -> Any:
    """What a JSON file of the folder says."""
    return read_golden_json("rvos", file)


@lru_cache(maxsize=4)
def official_tensors(part: str) -> dict[str, Tensor]:
    """encoder, decoder_zero_shot or decoder_one_shot: the official state dict by the rule, not to be changed."""
    tensors = {
        entry["name"]: golden_weight(entry["name"], entry["shape"]) for entry in described("manifest.json")[part]
    }
    if part == "encoder":
        for name in ("sk5.weight", "sk4.weight"):
            tensors[name] = tensors[name] * np.float32(0.25)
        return tensors
    for level, channel in enumerate(MASK_CHANNELS):
        gates = tensors[f"clstm_list.{level}.Gates.weight"]
        gates *= 2
        gates[:, channel:] *= 2
        if part == "decoder_one_shot":
            gates[:, channel] *= 3
    tensors["conv_out.weight"] *= 16
    tensors["conv_out.bias"] += 3.0 if part == "decoder_zero_shot" else -2.5
    return tensors


@lru_cache(maxsize=2)
def golden_network(which: str) -> RVOS:
    """one or zero -> the network with the official weights of the rule, none of them left over; not to be changed."""
    model, decoder = MODELS[which]
    network = build_network(numbers_of(model))
    assert isinstance(network, RVOS)
    load_rvos(network, model, {**official_tensors("encoder"), **official_tensors(decoder)})
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def golden_tensors() -> Callable[[str], dict[str, Tensor]]:
    """Part of the manifest -> its tensors, made by the rule."""
    return official_tensors


@pytest.fixture(scope="session")
def network() -> Callable[[str], RVOS]:
    """one or zero -> the network with the weights of the rule."""
    return golden_network


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    """Tests of gradients turn them on."""
    with torch.no_grad():
        yield
