"""The golden figures of the interactive modules and STM: the weight rule of `mivos/README.md`, with its exceptions."""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from univs.models.space_time_memory import SpaceTimeMemory
from univs.models.space_time_official import load_space_time
from univs.models.zoo import build_space_time

REPOSITORY = Path(__file__).resolve().parents[3]
ROOT = Path(os.environ.get("UNIVS_CONFORMANCE", REPOSITORY.parent / "shared" / "conformance")) / "mivos"

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
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "files(pattern): runs for every golden file whose name matches the pattern")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `files("s2m*")` or `files("stm/video*")` runs for every file of that name, as `golden`."""
    marker = metafunc.definition.get_closest_marker("files")
    if marker is not None:
        folder, _, name = marker.args[0].rpartition("/")
        paths = sorted((ROOT.parent / (folder or ROOT.name)).glob(f"{name}.npz"))
        skip = pytest.mark.skip(reason=f"no golden case {marker.args[0]} under {ROOT} (set UNIVS_CONFORMANCE)")
        metafunc.parametrize(
            "golden", paths or [pytest.param(None, marks=skip)], ids=lambda p: p.stem if p else "absent", indirect=True
        )


class Golden:
    """The arrays of one golden file, whole, thinned or as bits."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.arrays = np.load(path)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays.files)

    def tensor(self, name: str) -> Tensor:
        """An array that is stored whole."""
        return torch.from_numpy(np.asarray(self.arrays[name]))

    def images(self) -> Tensor:
        """`frames_u8` as the networks take it, T 3 H W."""
        frames = self.tensor("frames_u8").float() / 255
        return ((frames - MEAN) / STD).permute(0, 3, 1, 2)

    def labels(self, name: str) -> np.ndarray:
        """A label map that is stored as a bit per object."""
        shape = tuple(self.arrays[f"{name}__shape"])
        labels = np.zeros(shape, np.uint8)
        number = 1
        while f"{name}__bits{number}" in self.arrays:
            bits = np.unpackbits(self.arrays[f"{name}__bits{number}"])[: math.prod(shape)]
            labels[bits.reshape(shape) == 1] = number
            number += 1
        return labels

    def error(self, name: str, ours: Tensor | np.ndarray) -> float:
        """The largest difference from an array, whole or thinned, of which the shape must be the same."""
        ours = torch.as_tensor(ours).detach().double()
        if name in self.arrays:
            theirs = torch.from_numpy(np.asarray(self.arrays[name])).double()
            assert ours.shape == theirs.shape, (name, tuple(ours.shape), tuple(theirs.shape))
            return float((ours - theirs).abs().max())
        assert list(ours.shape) == self.arrays[f"{name}__shape"].tolist(), (name, tuple(ours.shape))
        flat = ours.reshape(-1)[:: int(self.arrays[f"{name}__stride"])]
        sample = torch.from_numpy(self.arrays[f"{name}__sub"]).double()
        return float((flat[: len(sample)] - sample).abs().max())

    def check(self, name: str, ours: Tensor | np.ndarray, tolerance: float) -> None:
        """Assert that nothing differs by more than `tolerance`."""
        error = self.error(name, ours)
        print(f"{self.name} {name}: max {error:.1e}")
        assert error <= tolerance, f"{self.name} {name}: {error:.2e} off, more than {tolerance}"

    def check_features(self, name: str, ours: Tensor, tolerance: float = 1e-3) -> None:
        """Assert that nothing differs by more than `tolerance` of the largest entry."""
        largest = float(np.abs(self.arrays[name]).max()) if name in self.arrays else self.arrays[f"{name}__stats"][3]
        self.check(name, ours, tolerance * float(largest))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden file of a test that is marked with `files`."""
    return Golden(request.param)


@lru_cache(maxsize=4)
def described(network: str, file: str) -> Any:
    """What a JSON file says of an official network."""
    path = ROOT.parent / FOLDERS.get(network, ROOT.name) / file
    if not path.is_file():
        pytest.skip(f"no {path} (set UNIVS_CONFORMANCE)")
    return json.loads(path.read_text())[network]


def golden_weight(name: str, shape: list[int]) -> Tensor:
    """The weight rule of the README for one tensor, without the exceptions."""
    last = name.rpartition(".")[2]
    if last == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.long)
    if last in ("mean", "std"):
        return {"mean": MEAN, "std": STD}[last].reshape(shape)
    v = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape).astype(np.float32)
    if last == "running_mean":
        v = np.float32(0.1) * v
    elif last == "bias":
        v = np.float32(0.02) * v
    elif last == "running_var" or v.ndim == 1:
        v = 1 + np.float32(0.1) * np.abs(v)
    else:
        v = v * np.float32(math.sqrt(1 / math.prod(shape[1:])))
    return torch.from_numpy(v)


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
    network = build_space_time(yaml.safe_load((REPOSITORY / f"configs/model/{model}.yaml").read_text()))
    official = {"mivos": "propagation_network", "stm": "stm_network"}[model]
    load_space_time(network, model, official_tensors(official))
    return network.eval().requires_grad_(False).ready("float32", False)


@pytest.fixture(scope="session")
def space_time() -> Callable[[str], SpaceTimeMemory]:
    """mivos or stm -> the network with the weights of the rule."""
    return space_time_network
