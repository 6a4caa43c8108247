"""The golden figures of FEELVOS: its weight rule, and its files as `golden` (storage: `mivos/README.md`)."""

from __future__ import annotations

import math
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conformance.golden import Golden as GoldenFile
from tests.conformance.golden import read_golden_json, run_for_files
from univs.models.feelvos import FEELVOS
from univs.models.feelvos_official import load_feelvos
from univs.models.zoo import build_feelvos, numbers_of

NETWORK = "feelvos_xception65"
SCALED: dict[str, tuple[slice, float]] = {
    "embedding/split_separable_conv2d_pointwise/weights": (slice(None), 4),
    "embedding_seg/split_separable_conv2d_0_pointwise/weights": (slice(256, None), 8),
    "logits/semantic/weights": (slice(None), 64),
}
"""Variable -> which of its input channels are how many times what the rule says."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "feelvos_files(pattern): runs for every golden file of FEELVOS of that name")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    run_for_files(metafunc, "feelvos", "feelvos_files")


class Golden(GoldenFile):
    """The arrays of one golden file, whole or thinned; images there are H W C."""

    def check(self, name: str, ours: Tensor, tolerance: float, *, relative: bool = False) -> None:
        """Assert that nothing differs by more than `tolerance`, perhaps of the largest entry; shapes are the same."""
        ours = ours.detach().double()
        if name in self.arrays:
            theirs = torch.from_numpy(np.asarray(self.arrays[name])).double()
            assert ours.shape == theirs.shape, (name, tuple(ours.shape), tuple(theirs.shape))
            largest = float(theirs.abs().max())
        else:
            assert list(ours.shape) == self.arrays[f"{name}__shape"].tolist(), (name, tuple(ours.shape))
            total, _, spread, largest = self.arrays[f"{name}__stats"].tolist()
            assert ours.sum().item() == pytest.approx(total, rel=1e-4, abs=1e-3 * ours.numel() ** 0.5 * largest), name
            assert ours.std(correction=0).item() == pytest.approx(spread, rel=1e-3), name
            theirs = torch.from_numpy(self.arrays[f"{name}__sub"]).double()
            ours = ours.reshape(-1)[:: int(self.arrays[f"{name}__stride"])]
            assert ours.shape == theirs.shape, name
        error = float((ours - theirs).abs().max())
        print(f"{self.name} {name}: max {error:.1e} (largest {largest:.1e})")
        assert error <= tolerance * (largest if relative else 1), f"{self.name} {name}: {error:.2e} off"


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden file of a test that is marked with `feelvos_files`."""
    return Golden(request.param)


@lru_cache(maxsize=2)
def described(file: str) -> Any:
    """What a JSON file says of the network."""
    return read_golden_json("feelvos", file)[NETWORK]


def golden_weight(name: str, shape: list[int]) -> np.ndarray:
    """The weight rule of the README for one variable, without the exceptions."""
    v = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape).astype(np.float32)
    last = name.rpartition("/")[2]
    if last in ("moving_variance", "gamma"):
        return 1 + np.float32(0.1) * np.abs(v)
    if last == "moving_mean":
        return np.float32(0.1) * v
    if last in ("biases", "beta"):
        return np.float32(0.02) * v
    fan_in = math.prod(shape[:2] if last == "depthwise_weights" else shape[:3])
    return v * np.float32(math.sqrt(1 / fan_in))


@lru_cache(maxsize=1)
def official_variables() -> dict[str, np.ndarray]:
    """The official variables, made by the rule; not to be changed."""
    variables = {e["name"]: golden_weight(e["name"], e["shape"]) for e in described("manifest.json")}
    for name, (channels, factor) in SCALED.items():
        variables[name][:, :, channels] *= np.float32(factor)
    return variables


@pytest.fixture(scope="session")
def variables() -> dict[str, np.ndarray]:
    """The official variables, made by the rule."""
    return official_variables()


@pytest.fixture(scope="session")
def checksums() -> dict[str, list[float]]:
    """Name of a variable -> its sum and the sum of its absolute values."""
    return described("weight_checksums.json")


@pytest.fixture(scope="session")
def network() -> FEELVOS:
    """The network with the official variables, nothing of them left over."""
    made = build_feelvos(numbers_of("feelvos"))
    load_feelvos(made, official_variables())
    return made.eval().requires_grad_(False)
