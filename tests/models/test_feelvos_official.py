"""Official weights of FEELVOS: every variable in its place, complete or refused. (Their numbers: tests/conformance.)"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from univs import cli
from univs.errors import UserError
from univs.models.feelvos import FEELVOS
from univs.models.feelvos_official import load_feelvos, our_name
from univs.models.own_files import save
from univs.models.weights_path import weights_path
from univs.models.zoo import build_feelvos, check_model, load, load_univs, numbers_of


def places(network: FEELVOS) -> Iterator[tuple[str, nn.Conv2d, nn.Module | None]]:
    """Official scope, our convolution and batch norm, written out apart from the table."""
    features, backbone = network.features, network.features.backbone
    flow = "xception_65/entry_flow"
    yield f"{flow}/conv1_1", backbone.conv1, backbone.norm1
    yield f"{flow}/conv1_2", backbone.conv2, backbone.norm2
    blocks = [f"entry_flow/block{n}/unit_1" for n in (1, 2, 3)]
    blocks += [f"middle_flow/block1/unit_{n}" for n in range(1, 17)]
    blocks += [f"exit_flow/block{n}/unit_1" for n in (1, 2)]
    for block, unit in zip(blocks, backbone.units, strict=True):
        scope = f"xception_65/{block}/xception_module"
        for number, part in enumerate(unit.separable, start=1):
            yield f"{scope}/separable_conv{number}_depthwise", part.depthwise, part.depthwise_norm
            yield f"{scope}/separable_conv{number}_pointwise", part.pointwise, part.pointwise_norm
        if hasattr(unit, "shortcut"):
            yield f"{scope}/shortcut", unit.shortcut, unit.shortcut_norm
    yield "image_pooling", features.pooled, features.pooled_norm
    yield "aspp0", features.near, features.near_norm
    yield "concat_projection", features.project, features.project_norm
    yield "decoder/feature_projection0", features.lows[0], features.low_norms[0]
    pairs = [(f"aspp{n + 1}", part) for n, part in enumerate(features.around)]
    for scope, part in (*pairs, *((f"decoder/decoder_conv{n}", part) for n, part in enumerate(features.refine))):
        yield f"{scope}_depthwise", part.depthwise, part.depthwise_norm
        yield f"{scope}_pointwise", part.pointwise, part.pointwise_norm
    pairs = [("embedding/split_separable_conv2d", network.embedding)]
    pairs += [(f"embedding_seg/split_separable_conv2d_{n}", layer) for n, layer in enumerate(network.head.layers)]
    for scope, part in pairs:
        yield f"{scope}_depthwise", part.depthwise, None
        yield f"{scope}_pointwise", part.pointwise, None
    yield "logits/semantic", network.head.predict, None


@torch.no_grad()
def official(network: FEELVOS) -> dict[str, np.ndarray]:
    """A network as its official variables."""
    variables = {}
    for scope, convolution, norm in places(network):
        kernel = convolution.weight.numpy()
        if scope.endswith("depthwise"):
            variables[f"{scope}/depthwise_weights"] = kernel.transpose(2, 3, 0, 1)
        else:
            variables[f"{scope}/weights"] = kernel.transpose(2, 3, 1, 0)
        if norm is None:
            assert convolution.bias is not None
            variables[f"{scope}/biases"] = convolution.bias.numpy()
        else:
            four = {"gamma": norm.weight, "beta": norm.bias}
            four |= {"moving_mean": norm.running_mean, "moving_variance": norm.running_var}
            variables |= {f"{scope}/BatchNorm/{name}": value.numpy() for name, value in four.items()}  # type: ignore[union-attr]
    return variables


@pytest.fixture(scope="module")
def network() -> FEELVOS:
    torch.manual_seed(0)
    made = build_feelvos(numbers_of("feelvos")).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean, module.running_var):
                torch.nn.init.uniform_(value, 0.5, 1)  # type: ignore[arg-type]
    return made


@pytest.fixture(scope="module")
def file(network: FEELVOS, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the variables, with what an optimiser keeps."""
    path = tmp_path_factory.mktemp("official") / "official.npz"
    extra = {"global_step": np.array(200004), "logits/semantic/biases/Momentum": np.zeros(1, np.float32)}
    np.savez(path, **{f"{name}:0": values for name, values in (official(network) | extra).items()})
    return path


def test_official_files_load_whole(network: FEELVOS, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    variables = official(network)
    assert len(variables) == 752
    with caplog.at_level(logging.WARNING):
        loaded = load(file)
    assert "the optimiser's: global_step, logits/semantic/biases/Momentum" in caplog.text
    assert isinstance(loaded, FEELVOS) and not loaded.training and loaded.config["name"] == "feelvos"
    for name, value in network.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    check_model(file, "feelvos")
    with pytest.raises(UserError, match="weights of the model feelvos, not of tiny"):
        check_model(file, "tiny")
    with pytest.raises(UserError, match="holds a feelvos, which is no UniVS"):
        load_univs(file)
    with pytest.raises(UserError, match="holds no moving averages"):
        load(file, averages=True)


def test_what_does_not_fit_is_named(network: FEELVOS) -> None:
    variables = official(network)
    before = {name: value.clone() for name, value in network.head.state_dict().items()}
    changes: list[tuple[dict[str, np.ndarray | None], str]] = [
        ({"logits/semantic/weights": np.zeros((1, 1, 256, 2))}, r"logits/semantic/weights has shape \(2, 256, 1, 1\)"),
        ({"logits/other/weights": np.zeros(1)}, "unknown logits/other/weights"),
        ({"aspp4_depthwise/depthwise_weights": np.zeros(1)}, "unknown aspp4_depthwise"),
        ({"embedding/split_separable_conv2d_depthwise/BatchNorm/gamma": np.zeros(1)}, "unknown embedding/"),
        ({"logits/semantic/biases": None, "aspp0/weights": None}, "nothing for features.near.weight and 1 more"),
        ({"logits/semantic/biases": np.full(1, np.nan)}, "logits/semantic/biases holds NaN"),
    ]
    for change, words in changes:
        changed = {name: value for name, value in {**variables, **change}.items() if value is not None}
        with pytest.raises(UserError, match=f"official weights do not fit: {words}"):
            load_feelvos(network, changed)
    assert all(torch.equal(value, before[name]) for name, value in network.head.state_dict().items())
    assert our_name("xception_65/entry_flow/conv1_1") is None and our_name("") is None


def test_other_variables_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", **{"resnet/weights": np.zeros(3)})
    with pytest.raises(UserError, match="does not hold FEELVOS"):
        load(tmp_path / "other.npz")
    with pytest.raises(UserError, match="weights of the model unknown, not of feelvos"):
        check_model(tmp_path / "other.npz", "feelvos")


def test_our_own_files_say_what_they_are(network: FEELVOS, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save(network, path, numbers_of("feelvos"))
    loaded = load(path)
    assert isinstance(loaded, FEELVOS) and loaded.config == numbers_of("feelvos")
    assert torch.equal(loaded.head.predict.weight, network.head.predict.weight.half().float())
    check_model(path, "feelvos")


def test_official_weights_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNIVS_CACHE", str(tmp_path))
    place = tmp_path / "weights" / "feelvos.npz"
    command = ["segment", str(tmp_path), "--model", "feelvos", "--box", "1@0:1,1,2,2", "--out", str(tmp_path / "out")]
    with pytest.raises(UserError, match="model.ckpt-200004.* tools/variables_to_npz.py makes it"):
        weights_path("feelvos")
    assert cli.main(command) == 2
    line = capsys.readouterr().err
    assert str(place) in line and line.count("\n") == 1
    place.parent.mkdir()
    place.touch()
    assert weights_path("feelvos") == place
