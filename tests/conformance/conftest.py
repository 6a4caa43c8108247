"""The golden figures as fixtures: cases found by name, weights made by the rule of their README.

A test marked `cases("r50_*_x")` runs once for every case of that name under UNIVS_CONFORMANCE/univs/cases, and gets it
as the fixture `case`.
"""

from __future__ import annotations

import copy
import json
import math
import os
import re
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from univs.models import ImageFeatures, Prediction, PromptTokens, TextFeatures, UniVS, build_model
from univs.models.clip_text import ClipTextEncoder
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

    FLIPPED = 1e-4
    """Share of entries that may differ: a pixel at the threshold of an attention mask may fall on its other side."""

    def __init__(self, name: str) -> None:
        self.name = name
        description = json.loads((ROOT / "cases" / f"{name}.json").read_text())
        self.info: dict[str, Any] = description["info"]
        self.tensors: dict[str, dict[str, Any]] = description["tensors"]
        self.arrays = np.load(ROOT / "cases" / f"{name}.npz")

    @property
    def model(self) -> str:
        """The official model it was recorded with."""
        return self.name.split("_")[0]

    @property
    def family(self) -> str:
        """What the names of all cases on the same frames start with."""
        return "_".join(self.name.split("_")[:2])

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

    def check_predictions(self, predictions: list[Prediction], learnable: int) -> None:
        """Every recorded prediction: `auxL_*` is number L, the others are the last."""
        for name in self.tensors:
            match = re.fullmatch(
                r"(?:aux(\d+)_)?(prompt_)?(pred_masks|pred_embds|pred_logits_all|pred_logits_slice|pred_logits)", name
            )
            if match is None:
                continue
            number, prompts, what = match.groups()
            prediction = predictions[int(number)] if number else predictions[-1]
            rows = slice(learnable if prompts else 0, None)
            if what == "pred_masks":
                self.check(name, prediction.mask_logits[:, rows], 1e-3, self.FLIPPED)
            elif what == "pred_embds":
                self.check(name, prediction.embeddings[:, rows], 1e-4, self.FLIPPED)
            elif what == "pred_logits":
                assert prediction.grounding_logits is not None
                self.check(name, prediction.grounding_logits[:, rows], 1e-3, self.FLIPPED)
            else:
                assert prediction.class_logits is not None
                classes = slice(*self.tensors[name].get("class_slice", (0, None)))
                self.check(name, prediction.class_logits[:, rows, classes], 1e-4, self.FLIPPED)


class GoldenDraws:
    """The stateless stand-ins for torch.randperm and torch.rand under which the figures were recorded."""

    def permutation(self, length: int) -> Tensor:
        keys = (np.arange(length, dtype=np.uint64) * 2654435761) % 2**32
        return torch.from_numpy(np.argsort(keys, kind="stable"))

    def uniform(self, *shape: int) -> Tensor:
        seed = zlib.crc32(("rand:" + ",".join(map(str, shape))).encode())
        return torch.from_numpy(np.random.Generator(np.random.PCG64(seed)).random(shape).astype(np.float32))

    def integers(self, high: int, count: int) -> Tensor:
        return (7 * torch.arange(count) + 3) % high


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


@pytest.fixture
def make_manifest() -> Callable[[str], dict[str, dict[str, Any]]]:
    """Name of an official model (or text_tower) -> its manifest."""
    return manifest


@pytest.fixture
def make_tensors() -> Callable[[str], dict[str, Tensor]]:
    """Name of an official model (or text_tower) -> its tensors, made by the rule."""
    return official_tensors


@pytest.fixture
def make_config() -> Callable[[str], dict[str, Any]]:
    """Name of an official model -> its numbers."""
    return model_config


def manifest(model: str) -> dict[str, dict[str, Any]]:
    """Name -> shape, sum and so on of every tensor of an official model (or of the text tower)."""
    path = ROOT / f"manifest_{model}.json"
    if not path.is_file():
        pytest.skip(f"no {path} (set UNIVS_CONFORMANCE)")
    return {entry["name"]: entry for entry in json.loads(path.read_text())["tensors"]}


def window_index(window: int) -> np.ndarray:
    """Which row of its table belongs to each pair of cells of a Swin window (the tensor that no rule makes)."""
    y, x = (place.reshape(-1) for place in np.mgrid[:window, :window])
    side = 2 * window - 1
    return (y[:, None] - y + window - 1) * side + x[:, None] - x + window - 1


def official_tensors(model: str) -> dict[str, Tensor]:
    """An official state dict, its weights made by the rule."""
    tensors = {}
    for name, entry in manifest(model).items():
        if entry["rule"] == "keep_official":
            tensors[name] = torch.from_numpy(window_index(math.isqrt(entry["shape"][0])))
        else:
            tensors[name] = torch.from_numpy(golden_weight(name, entry["shape"]))
    return tensors


def model_config(model: str) -> dict[str, Any]:
    """The numbers of configs/model/MODEL.yaml."""
    return yaml.safe_load((REPOSITORY / "configs" / "model" / f"{model}.yaml").read_text())


@lru_cache(maxsize=2)
def golden_model(model: str) -> UniVS:
    """An official model with the weights of the rule."""
    built = build_model(model_config(model)).eval()
    load_official(built, official_tensors(model))
    return built.requires_grad_(False)


@pytest.fixture
def model(case: Case) -> UniVS:
    """The official model that a case was recorded with."""
    return golden_model(case.model)


@pytest.fixture(scope="session")
def official_weights() -> dict[str, Tensor]:
    """The official R50 state dict (streaming cases change some of it)."""
    return official_tensors("r50")


@pytest.fixture(scope="session")
def r50_config(official_weights: dict[str, Tensor]) -> dict[str, Any]:
    """The numbers of configs/model/r50.yaml, where there are golden figures."""
    return model_config("r50")


@lru_cache(maxsize=1)
def golden_text_encoder() -> ClipTextEncoder:
    """The official text tower with the weights of the rule."""
    return ClipTextEncoder.from_tensors(official_tensors("text_tower"))


@lru_cache(maxsize=4)
def encoded_sentences(family: str) -> TextFeatures:
    """What the tower makes of the sentences of a family of cases."""
    return golden_text_encoder().encode(Case(f"{family}_text_encoder").info["cleaned"])


@pytest.fixture
def text_encoder() -> ClipTextEncoder:
    """The official text tower with the weights of the rule."""
    return golden_text_encoder()


@pytest.fixture
def text(case: Case) -> TextFeatures:
    """Features of the sentences that belong to a case."""
    return encoded_sentences(case.family)


@pytest.fixture(scope="session")
def class_embeddings() -> Tensor:
    """The 3938 x 640 class embeddings of the golden runs."""
    v = normal("clip_cls_text_emb", [3938, 640]).astype(np.float64)
    return torch.from_numpy((v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32))


@lru_cache(maxsize=8)
def encoded_frames(family: str, frames: int) -> ImageFeatures:
    """Features of the first frames of a family of cases."""
    first = Case(f"{family}_backbone_pixdec_T1")
    stored = first.whole("frames_uint8_rgb")[:frames]
    images = stored if stored.shape[1] == 3 else stored.permute(0, 3, 1, 2)
    model = golden_model(first.model)
    return model.encode_image(model.normalize(images))


@pytest.fixture
def stream_model(case: Case) -> UniVS:
    """The official model of a streaming case, whose weights differ from the rule as the case says."""
    found = re.search(r"_(R50|SwinT|SwinB|SwinL)_", case.info["config"], re.IGNORECASE)
    name = found[1].lower() if found else "r50"
    tensors = official_tensors(name)
    for pattern, factor in case.info["weight_scale_overrides_regex"].items():
        for key in tensors:
            if re.search(pattern, key):
                tensors[key] = tensors[key] * factor
    for key in case.info["weight_overrides"]:
        tensors[key] = case.whole(f"override:{key}")
    built = build_model(model_config(name)).eval()
    load_official(built, tensors)
    return built.requires_grad_(False)


@lru_cache(maxsize=1)
def trained_model(name: str) -> UniVS:
    """A golden model all of whose weights but those of the backbone are trained."""
    model = copy.deepcopy(golden_model(name)).requires_grad_(True)
    model.backbone.requires_grad_(False)
    return model


@pytest.fixture
def training_model(case: Case) -> UniVS:
    """The official model of a case of training losses."""
    found = re.search(r"_(R50|SwinT|SwinB|SwinL)_", case.info["config"], re.IGNORECASE)
    return trained_model(found[1].lower() if found else "r50")


@pytest.fixture
def encode_texts() -> Callable[[Sequence[str]], TextFeatures]:
    """What the golden text tower makes of texts."""
    return lambda texts: golden_text_encoder().encode(texts)


@pytest.fixture
def golden_draws(draws: GoldenDraws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks become tokens by the random choices of the golden runs."""
    plain = UniVS.encode_masks

    def encode_masks(self: UniVS, *arguments: Any, **options: Any) -> PromptTokens:
        return plain(self, *arguments, **{"draws": draws, **options})

    monkeypatch.setattr(UniVS, "encode_masks", encode_masks)


@pytest.fixture
def features(case: Case) -> ImageFeatures:
    """Features of the T frames of a case (`…_T3`), or of one."""
    frames = re.search(r"_T(\d+)$", case.name)
    return encoded_frames(case.family, int(frames[1]) if frames else 1)
