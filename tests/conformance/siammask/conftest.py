"""The golden figures of SiamMask: the weight rule of `mivos/README.md`, with the exceptions of `siammask/README.md`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conformance.golden import Golden, golden_weight, read_golden_json, run_for_files
from univs.models.siammask import SiamMask
from univs.models.siammask_official import load_siammask
from univs.models.zoo import build_network, numbers_of

NETWORKS = {"siammask": "siammask_sharp", "siammask_base": "siammask_base"}
"""Our model -> what the files call it."""
SCALED = {
    "features.features.conv1.weight": 1 / 64,
    "rpn_model.cls.head.3.weight": 1 / 128,
    "rpn_model.loc.head.3.weight": 1 / 512,
    "mask_model.mask.head.3.weight": 1 / 64,
    "refine_model.deconv.weight": 4.0,
    **{f"refine_model.v{merge}.2.weight": 0.5 for merge in range(3)},
}
SHIFTED = {"refine_model.post2.bias": 1.0}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "files(pattern): runs for every golden file whose name matches the pattern")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    run_for_files(metafunc, "siammask")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden file of a test that is marked with `files`."""
    return Golden(request.param)


@lru_cache(maxsize=8)
def described(model: str, file: str) -> Any:
    """What a JSON file says of an official network."""
    return read_golden_json("siammask", file)[NETWORKS[model]]


@lru_cache(maxsize=2)
def official_tensors(model: str) -> dict[str, Tensor]:
    """An official state dict, its weights made by the rule; not to be changed."""
    tensors = {}
    for entry in described(model, "manifest.json"):
        name = entry["name"]
        value = golden_weight(name, entry["shape"])
        if name in SCALED:
            value = value * np.float32(SCALED[name])
        tensors[name] = value + SHIFTED[name] if name in SHIFTED else value
    return tensors


@lru_cache(maxsize=2)
def network(model: str) -> SiamMask:
    """An official model with the weights of the rule."""
    made = build_network(numbers_of(model))
    assert isinstance(made, SiamMask)
    load_siammask(made, model, official_tensors(model))
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def golden_tensors() -> Callable[[str], dict[str, Tensor]]:
    """siammask or siammask_base -> its official tensors, made by the rule."""
    return official_tensors


@pytest.fixture(scope="session")
def golden_description() -> Callable[[str, str], Any]:
    """siammask or siammask_base, and a JSON file -> what it says of that model."""
    return described


@pytest.fixture(scope="session")
def siammask() -> Callable[[str], SiamMask]:
    """siammask or siammask_base -> the network with the weights of the rule, as it is trained."""
    return network


@pytest.fixture(scope="session")
def fed() -> Callable[[SiamMask, np.ndarray], Tensor]:
    """A network and a crop 3 S S, BGR as the official program feeds it -> 1 3 S S as ours reads it."""
    return lambda model, crop: model.images(torch.from_numpy(crop[::-1].copy())[None])
