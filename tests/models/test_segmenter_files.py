"""Networks of one frame from numbers and files: what is read back, and what is refused in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from univs.errors import UserError
from univs.models.own_files import save
from univs.models.segmenter_files import KINDS, build_segmenter, load_segmenter

LIGHT: dict[str, Any] = {
    "name": "light",
    "kind": "scribble_to_mask_light",
    "scribble_to_mask_light": {"width": 16, "rates": [2]},
}


@pytest.mark.parametrize("name", ["scribble_to_mask", "scribble_to_mask_light"])
def test_configs_are_built(name: str, repository: Path) -> None:
    config = yaml.safe_load((repository / f"configs/model/{name}.yaml").read_text())
    assert isinstance(build_segmenter(config), KINDS[name].build)  # type: ignore[arg-type]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    network = build_segmenter(LIGHT)
    save(network, tmp_path / "light.safetensors", LIGHT, half=False)
    loaded = load_segmenter(tmp_path / "light.safetensors")
    assert not loaded.training
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_what_is_refused(tmp_path: Path) -> None:
    network = build_segmenter(LIGHT)
    save(network, tmp_path / "other.safetensors", {"name": "tiny"})
    save(network, tmp_path / "wider.safetensors", {**LIGHT, "scribble_to_mask_light": {"width": 24}})
    save(network, tmp_path / "unknown.safetensors", {**LIGHT, "scribble_to_mask_light": {"depth": 3}})
    torch.save({"a.weight": torch.zeros(2)}, tmp_path / "a.pth")
    tensors = build_segmenter({"kind": "fbrs"}).state_dict()
    short = {name: value for name, value in tensors.items() if name != "head.2.weight"}
    torch.save(short, tmp_path / "short.pth")
    refused = {
        "other.safetensors": "tiny is no network for masks of one frame",
        "wider.safetensors": "does not fit its own numbers",
        "unknown.safetensors": "cannot build the model light: .*depth",
        "a.pth": "no weights of S2M or f-BRS",
        "short.pth": "no weights of S2M or f-BRS",
    }
    for name, message in refused.items():
        with pytest.raises(UserError, match=f"{re.escape(name)}.*{message}"):
            load_segmenter(tmp_path / name)
    with pytest.raises(UserError, match="unknown weights 'nothing'"):
        load_segmenter("nothing")
    with pytest.raises(UserError, match="tf_efficientnet_lite0 to 4, not resnet18"):
        build_segmenter({**LIGHT, "scribble_to_mask_light": {"backbone": "resnet18"}})


def test_an_official_file_of_another_width_is_named(tmp_path: Path) -> None:
    tensors = build_segmenter({"kind": "scribble_to_mask"}).state_dict()
    tensors["classifier.classifier.3.weight"] = torch.zeros(21, 256, 1, 1)
    torch.save(tensors, tmp_path / "voc.pth")
    with pytest.raises(UserError, match=r"classifier\.classifier\.3\.weight has shape \(21, 256, 1, 1\)"):
        load_segmenter(tmp_path / "voc.pth")
