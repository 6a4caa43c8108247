"""Official weights: the rule that makes them, names and shapes of every tensor, and files of both formats."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from univs.models import build_model
from univs.models.clip_text import ClipTextEncoder
from univs.models.official import our_name
from univs.models.zoo import load

pytestmark = pytest.mark.conformance
Tensors = Callable[[str], dict[str, Tensor]]
Manifest = Callable[[str], dict[str, dict[str, Any]]]
MODELS = ("r50", "swint", "swinb", "swinl")
WITHOUT_EFFECT = ("reid_temp.weight", "relative_position_index")


@pytest.mark.parametrize("model", ["r50", "swint", "text_tower"])
def test_the_weight_rule_gives_the_manifests_check_sums(
    model: str, make_manifest: Manifest, make_tensors: Tensors
) -> None:
    manifest, tensors = make_manifest(model), make_tensors(model)
    for name, entry in manifest.items():
        weight = tensors[name].double()
        assert weight.sum().item() == pytest.approx(entry["sum"], rel=1e-6, abs=1e-4), name
        assert weight.abs().max().item() == pytest.approx(entry["absmax"], rel=1e-6), name


@pytest.mark.parametrize("model", MODELS)
def test_every_tensor_is_accounted_for(
    model: str, make_manifest: Manifest, make_config: Callable[[str], dict[str, Any]]
) -> None:
    manifest = make_manifest(model)
    with torch.device("meta"):  # names and shapes alone
        built = build_model(make_config(model))
    expected = {n: list(v.shape) for n, v in built.state_dict().items() if not n.endswith("num_batches_tracked")}
    renamed = {name: our_name(name) for name in manifest}
    assert all(name.endswith(WITHOUT_EFFECT) for name, ours in renamed.items() if ours is None)
    given = {ours: manifest[name]["shape"] for name, ours in renamed.items() if ours}
    assert len(given) == sum(ours is not None for ours in renamed.values())  # no two become one
    assert given == expected
    if model != "r50":  # whose frozen batch norms keep scales and shifts as parameters
        official = sum(torch.Size(e["shape"]).numel() for e in manifest.values() if e["kind"] == "param")
        assert sum(p.numel() for p in built.parameters()) == official - 1  # without reid_temp


@pytest.mark.parametrize("model", ["r50", "swint"])
def test_a_checkpoint_lands_whole(model: str, make_tensors: Tensors, tmp_path: Path) -> None:
    tensors = make_tensors(model)
    path = tmp_path / f"univs_{model}_stage3.pth"
    torch.save({"model": tensors, "iteration": 1}, path)
    loaded = load(path)
    assert loaded.config["name"] == model
    state = loaded.state_dict()
    for name, tensor in tensors.items():
        if (ours := our_name(name)) is not None:
            assert torch.equal(state[ours], tensor), name


@pytest.mark.parametrize("model", ["swinb", "swinl"])
def test_larger_checkpoints_are_recognised(model: str, make_manifest: Manifest, tmp_path: Path) -> None:
    # one number for each tensor: the file stays small
    tensors = {name: torch.full((1,), 0.5).expand(entry["shape"]) for name, entry in make_manifest(model).items()}
    torch.save({"model": tensors}, tmp_path / "model.pth")
    loaded = load(tmp_path / "model.pth")
    assert loaded.config["name"] == model
    assert all((parameter == 0.5).all() for parameter in loaded.parameters())


@pytest.mark.parametrize("model", ["r50", "swint"])
def test_a_mask2former_pickle_starts_the_model(
    model: str, make_tensors: Tensors, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = ("prompt_", "lang2vision", "text", "cls_temp", "reid_temp")
    arrays = {n: t.numpy() for n, t in make_tensors(model).items() if not any(part in n for part in own)}
    arrays["sem_seg_head.predictor.class_embed.bias"] = torch.zeros(134).numpy()
    path = tmp_path / "mask2former.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "somebody"}, protocol=2))
    state = load(path).state_dict()
    assert "nothing took sem_seg_head.predictor.class_embed" in caplog.messages[-1]
    for name, array in arrays.items():
        if (ours := our_name(name)) is not None:
            assert torch.equal(state[ours], torch.from_numpy(array)), name


def test_a_text_tower_is_found_in_what_is_around_it(make_tensors: Tensors, text_encoder: ClipTextEncoder) -> None:
    tensors = make_tensors("text_tower")
    assert text_encoder.tower.state_dict().keys() == tensors.keys()
    around = {f"lang_encoder.{name}": value for name, value in tensors.items()}
    again = ClipTextEncoder.from_tensors({**around, "backbone.conv1.weight": torch.zeros(1)})
    for name, value in tensors.items():
        assert torch.equal(again.tower.state_dict()[name], value), name
