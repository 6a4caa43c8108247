"""The golden figures as fixtures: cases found by name, weights made by the rule of their README.

A test marked `cases("r50_*_x")` runs once for every case of that name under UNIVS_CONFORMANCE/univs/cases, and gets it
as the fixture `case`.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from univs.models import ImageFeatures, UniVS, build_model
from univs.models.official import load_official

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT = Path(os.environ.get("UNIVS_CONFORMANCE", REPOSITORY.parent / "shared" / "conformance")) / "univs"

EMBEDDINGS = (
    "query_feat.weight query_embed.weight level_embed.weight level_embed prompt_detection.weight prompt_sot.weight "
    "prompt_grounding.weight token_embedding.weight positional_embedding relative_position_bias_table "
    "absolute_pos_embed"
).split()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cases(pattern): runs for every golden case whose name matches the pattern")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("cases")
    if marker is None:
        return
    names = sorted(path.stem for path in (ROOT / "cases").glob(f"{marker.args[0]}.json"))
    skip = pytest.mark.skip(reason=f"no golden case {marker.args[0]} under {ROOT}/cases (set UNIVS_CONFORMANCE)")
    metafunc.parametrize("case", names or [pytest.param("absent", marks=skip)], indirect=True)


class Case:
    """One golden case: its description and its recorded arrays."""

    def __init__(self, name: str) -> None:
        self.name = name
        description = json.loads((ROOT / "cases" / f"{name}.json").read_text())
        self.info: dict[str, Any] = description["info"]
        self.tensors: dict[str, dict[str, Any]] = description["tensors"]
        self.arrays = np.load(ROOT / "cases" / f"{name}.npz")

    def setting(self, key: str) -> Any:
        """A setting of `info.overrides`, which lists keys and values in turn."""
        overrides = self.info["overrides"]
        return overrides[overrides.index(key) + 1]

    def whole(self, name: str) -> Tensor:
        """An array that is stored whole or bit-packed."""
        described, stored = self.tensors[name], self.arrays[name]
        if described["stored"] == "packbits_flat_C":
            flat = np.unpackbits(stored)[: math.prod(described["shape"])]
            return torch.from_numpy(flat.reshape(described["shape"]).astype(bool))
        assert described["stored"] == "full"
        return torch.from_numpy(np.asarray(stored)).reshape(described["shape"])

    def errors(self, name: str, ours: Tensor) -> Tensor:
        """Absolute differences between our tensor and the recorded (perhaps thinned) one, flat."""
        described, ours = self.tensors[name], ours.detach()
        assert list(ours.shape) == described["shape"], (name, list(ours.shape), described["shape"])
        flat = ours.reshape(-1)[:: described.get("stride", 1)]
        recorded = torch.from_numpy(np.asarray(self.arrays[name])).reshape(-1)
        return (flat.double() - recorded.double()).abs()

    def check(self, name: str, ours: Tensor, tolerance: float, outliers: float = 0.0) -> None:
        """Assert that all but a share of the entries differ by at most `tolerance`."""
        errors = self.errors(name, ours)
        share = (errors > tolerance).double().mean().item()
        print(f"{self.name} {name}: max {errors.max():.1e}, share above {tolerance:g}: {share:.1e}")
        assert share <= outliers, f"{self.name} {name}: {share:.2e} of the entries differ by more than {tolerance}"


class GoldenDraws:
    """The stateless stand-ins for torch.randperm and torch.rand under which the figures were recorded."""

    def permutation(self, length: int) -> Tensor:
        keys = (np.arange(length, dtype=np.uint64) * 2654435761) % 2**32
        return torch.from_numpy(np.argsort(keys, kind="stable"))

    def uniform(self, *shape: int) -> Tensor:
        seed = zlib.crc32(("rand:" + ",".join(map(str, shape))).encode())
        return torch.from_numpy(np.random.Generator(np.random.PCG64(seed)).random(shape).astype(np.float32))


def normal(name: str, shape: list[int]) -> np.ndarray:
    """The float32 normal numbers that belong to a name."""
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape).astype(np.float32)


def golden_weight(name: str, shape: list[int]) -> np.ndarray:
    """The weight rule of the README for a floating point tensor of the full model."""
    if name.endswith("sampling_offsets.bias"):
        points = shape[0] // (8 * 3 * 2)
        angle = 2 * np.pi * np.arange(8) / 8
        direction = np.stack([np.cos(angle), np.sin(angle)], -1)
        direction /= np.abs(direction).max(-1, keepdims=True)
        grid = direction[:, None, None] * (np.arange(points) + 1)[:, None]
        return np.broadcast_to(grid, (8, 3, points, 2)).reshape(-1).astype(np.float32)
    if name.endswith(("cls_temp.weight", "reid_temp.weight")):
        return np.full(shape, math.log(1 / 0.07), dtype=np.float32)
    v = normal(name, shape)
    if name.endswith("running_mean"):
        return np.float32(0.1) * v
    if name.endswith(tuple(EMBEDDINGS)):
        return np.float32(0.5) * v
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return 1 + np.float32(0.1) * np.abs(v)
    if name.endswith("bias"):
        return np.float32(0.02) * v
    return v * np.float32(math.sqrt(1 / math.prod(shape[1:])))


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """The golden case of a test that is marked with `cases`."""
    return Case(request.param)


@pytest.fixture
def draws() -> GoldenDraws:
    """The random choices of the golden runs."""
    return GoldenDraws()


@pytest.fixture(scope="session")
def r50_manifest() -> dict[str, dict[str, Any]]:
    """Name -> shape, sum and so on of every tensor of the official R50 model."""
    path = ROOT / "manifest_r50.json"
    if not path.is_file():
        pytest.skip(f"no {path} (set UNIVS_CONFORMANCE)")
    tensors = json.loads(path.read_text())["tensors"]
    return {entry["name"]: entry for entry in tensors} if isinstance(tensors, list) else tensors


@pytest.fixture(scope="session")
def official_weights(r50_manifest: dict[str, dict[str, Any]]) -> dict[str, Tensor]:
    """An official R50 state dict, its weights made by the rule."""
    return {name: torch.from_numpy(golden_weight(name, entry["shape"])) for name, entry in r50_manifest.items()}


@pytest.fixture(scope="session")
def r50_config(r50_manifest: dict[str, Any]) -> dict[str, Any]:
    """The numbers of configs/model/r50.yaml."""
    return yaml.safe_load((REPOSITORY / "configs" / "model" / "r50.yaml").read_text())


@pytest.fixture(scope="session")
def r50(r50_config: dict[str, Any], official_weights: dict[str, Tensor]) -> UniVS:
    """The official R50 model with the weights of the rule."""
    model = build_model(r50_config).eval()
    load_official(model, official_weights)
    return model.requires_grad_(False)


@pytest.fixture(scope="session")
def class_embeddings() -> Tensor:
    """The 3938 x 640 class embeddings of the golden runs."""
    v = normal("clip_cls_text_emb", [3938, 640]).astype(np.float64)
    return torch.from_numpy((v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32))


@pytest.fixture(scope="session")
def features_of(r50: UniVS) -> Callable[[Case, int], ImageFeatures]:
    """Features of the first T frames that belong to a case, encoded once."""
    known: dict[tuple[str, int], ImageFeatures] = {}

    def features(case: Case, frames: int) -> ImageFeatures:
        family = "_".join(case.name.split("_")[:2])
        if (family, frames) not in known:
            stored = Case(f"{family}_backbone_pixdec_T1").whole("frames_uint8_rgb")[:frames]
            images = stored if stored.shape[1] == 3 else stored.permute(0, 3, 1, 2)
            known[family, frames] = r50.encode_image(r50.normalize(images))
        return known[family, frames]

    return features
