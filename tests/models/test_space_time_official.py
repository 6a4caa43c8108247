"""Official weights of STM and MiVOS: recognised by names, complete or refused. (Their numbers: tests/conformance.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from univs import cli
from univs.errors import UserError
from univs.evaluation.run.command import weights_of
from univs.models.own_files import save
from univs.models.space_time_memory import SpaceTimeMemory
from univs.models.space_time_official import official_model
from univs.models.weights_path import weights_path
from univs.models.zoo import build_space_time, check_model, load, load_univs, numbers_of

PARTS = {
    "mivos": {
        "query_trunk.stages.0": "rgb_encoder.res2",
        "query_trunk.stages.1": "rgb_encoder.layer2",
        "query_trunk.stages.2": "rgb_encoder.layer3",
        "query_trunk": "rgb_encoder",
        "memory_trunk.stages.0": "mask_rgb_encoder.layer1",
        "memory_trunk.stages.1": "mask_rgb_encoder.layer2",
        "memory_trunk.stages.2": "mask_rgb_encoder.layer3",
        "memory_trunk": "mask_rgb_encoder",
        "query_heads.key": "kv_q_f16.key_proj",
        "query_heads.value": "kv_q_f16.val_proj",
        "memory_heads.key": "kv_m_f16.key_proj",
        "memory_heads.value": "kv_m_f16.val_proj",
        "decoder.compress.shortcut": "decoder.compress.downsample",
        "decoder.up8.block.shortcut": "decoder.up_16_8.out_conv.downsample",
        "decoder.up8.block": "decoder.up_16_8.out_conv",
        "decoder.up8.skip_block": "decoder.up_16_8.skip_conv2",
        "decoder.up8.skip": "decoder.up_16_8.skip_conv1",
        "decoder.up4.block": "decoder.up_8_4.out_conv",
        "decoder.up4.skip_block": "decoder.up_8_4.skip_conv2",
        "decoder.up4.skip": "decoder.up_8_4.skip_conv1",
        "decoder.predict": "decoder.pred",
    },
    "stm": {
        "query_trunk.stages.0": "Encoder_Q.res2",
        "query_trunk.stages.1": "Encoder_Q.res3",
        "query_trunk.stages.2": "Encoder_Q.res4",
        "query_trunk": "Encoder_Q",
        "memory_trunk.stages.0": "Encoder_M.res2",
        "memory_trunk.stages.1": "Encoder_M.res3",
        "memory_trunk.stages.2": "Encoder_M.res4",
        "memory_trunk": "Encoder_M",
        "query_heads.key": "KV_Q_r4.Key",
        "query_heads.value": "KV_Q_r4.Value",
        "memory_heads.key": "KV_M_r4.Key",
        "memory_heads.value": "KV_M_r4.Value",
        "decoder.narrow": "Decoder.convFM",
        "decoder.compress": "Decoder.ResMM",
        "decoder.up8.block": "Decoder.RF3.ResMM",
        "decoder.up8.skip_block": "Decoder.RF3.ResFS",
        "decoder.up8.skip": "Decoder.RF3.convFS",
        "decoder.up4.block": "Decoder.RF2.ResMM",
        "decoder.up4.skip_block": "Decoder.RF2.ResFS",
        "decoder.up4.skip": "Decoder.RF2.convFS",
        "decoder.predict": "Decoder.pred2",
    },
}
"""Our part -> the official one, written out apart from the tables."""


def official(model: str, network: SpaceTimeMemory) -> dict[str, Tensor]:
    """A network as its official state dict."""
    tensors = {}
    for name, value in network.state_dict().items():
        part = next((ours for ours in PARTS[model] if name.startswith(f"{ours}.")), "")
        tensors[PARTS[model].get(part, part) + name.removeprefix(part)] = value
    if model == "stm":
        kernel = tensors.pop("Encoder_M.conv1.weight")
        for name, channels in (("conv1", slice(3)), ("conv1_m", slice(3, 4)), ("conv1_o", slice(4, 5))):
            tensors[f"Encoder_M.{name}.weight"] = kernel[:, channels].clone()
        for part in ("Encoder_M", "Encoder_Q"):
            tensors[f"{part}.mean"] = tensors[f"{part}.std"] = torch.ones(1, 3, 1, 1)
    return tensors


@pytest.fixture(scope="module")
def networks() -> dict[str, SpaceTimeMemory]:
    torch.manual_seed(0)
    return {model: build_space_time(numbers_of(model)).eval() for model in PARTS}


@pytest.mark.parametrize("model", PARTS)
def test_official_files_load_whole(model: str, networks: dict[str, SpaceTimeMemory], tmp_path: Path) -> None:
    tensors = official(model, networks[model])
    assert official_model(tensors) == model
    torch.save(tensors, tmp_path / "official.pth")
    loaded = load(tmp_path / "official.pth")
    assert isinstance(loaded, SpaceTimeMemory) and not loaded.training and loaded.config["name"] == model
    for name, value in networks[model].state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    check_model(tmp_path / "official.pth", model)
    with pytest.raises(UserError, match=f"weights of the model {model}, not of tiny"):
        check_model(tmp_path / "official.pth", "tiny")
    with pytest.raises(UserError, match=f"holds a {model}, which is no UniVS"):
        load_univs(tmp_path / "official.pth")
    with pytest.raises(UserError, match="holds no moving averages"):
        load(tmp_path / "official.pth", averages=True)


def test_what_does_not_fit_is_named(networks: dict[str, SpaceTimeMemory], tmp_path: Path) -> None:
    tensors, path = official("stm", networks["stm"]), tmp_path / "official.pth"
    for change, words in (
        (
            {"Decoder.pred2.weight": torch.zeros(1, 256, 3, 3)},
            r"Decoder.pred2.weight has shape \(1, 256, 3, 3\) and not",
        ),
        ({"Decoder.pred3.weight": torch.zeros(1)}, "unknown Decoder.pred3.weight"),
        ({"Decoder.pred2.bias": None, "KV_Q_r4.Key.bias": None}, "nothing for query_heads.key.bias and 1 more"),
        ({"Encoder_M.conv1_o.weight": None}, r"unknown Encoder_M.conv1_m.weight|Encoder_M.conv1.weight has shape"),
        ({"Decoder.pred2.bias": torch.full((2,), torch.nan)}, "NaN or infinity"),
    ):
        changed = {name: value for name, value in {**tensors, **change}.items() if value is not None}
        torch.save(changed, path)
        with pytest.raises(UserError, match=words):
            load(path)


def test_our_own_files_say_what_they_are(networks: dict[str, SpaceTimeMemory], tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save(networks["mivos"], path, numbers_of("mivos"), half=False)
    loaded = load(path)
    assert isinstance(loaded, SpaceTimeMemory) and loaded.config == numbers_of("mivos")
    assert torch.equal(loaded.decoder.predict.weight, networks["mivos"].decoder.predict.weight)
    check_model(path, "mivos")
    check_model("tiny", "tiny")
    assert weights_of({"name": "mivos"}, str(path)) == str(path)
    with pytest.raises(UserError, match="weights of the model mivos, not of stm"):
        weights_of({"name": "stm"}, str(path))


def test_which_weights_are_meant() -> None:
    assert weights_of(None, None) == "tiny"
    assert weights_of({"name": "stm"}, None) == "stm"
    assert weights_of(None, "a.pth") == "a.pth"


@pytest.mark.parametrize(("model", "file"), [("stm", "STM_weights.pth"), ("mivos", "propagation_model.pth")])
def test_official_weights_that_are_not_there(
    model: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNIVS_CACHE", str(tmp_path))
    place = tmp_path / "weights" / file
    with pytest.raises(UserError, match=re.escape(f"are not at {place}: get {file} from https://github.com/")):
        weights_path(model)
    for command in (
        ["segment", str(tmp_path), "--model", model, "--box", "1@0:1,1,2,2", "--out", str(tmp_path / "out")],
        ["evaluate", "dataset=davis17", f"data.root={tmp_path}", f"model={model}", f"weights={model}"],
    ):
        assert cli.main(command) == 2
        line = capsys.readouterr().err
        assert str(place) in line and line.count("\n") == 1 and "Traceback" not in line
    place.parent.mkdir()
    place.touch()
    assert weights_path(model) == place
