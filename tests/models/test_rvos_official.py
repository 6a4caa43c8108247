"""Official weights of RVOS: two files or one, recognised by names and widths, complete or refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from univs.errors import UserError
from univs.models.rvos import RVOS
from univs.models.rvos_official import load_rvos, official_rvos, read_rvos_folder
from univs.models.weights_path import weights_path
from univs.models.zoo import build_network, check_model, load, numbers_of

PARTS = {
    "trunk.stages.0": "base.layer1",
    "trunk.stages.1": "base.layer2",
    "trunk.stages.2": "base.layer3",
    "trunk.stages.3": "base.layer4",
    "trunk": "base",
    **{f"skips.{n}.{k}": f"{part}{5 - n}" for n in range(4) for k, part in ((0, "sk"), (1, "bn"))},
    **{f"decoder.levels.{n}.gates": f"clstm_list.{n}.Gates" for n in range(4)},
    "decoder.predict": "conv_out",
}
"""Our part -> the official one, written out apart from the table."""


def small(name: str) -> RVOS:
    torch.manual_seed(0)
    numbers = numbers_of(name)
    network = build_network({**numbers, "rvos": {**numbers["rvos"], "blocks": [1, 1, 1, 1], "hidden": [8, 8, 4, 4]}})
    assert isinstance(network, RVOS)
    return network


def official(network: RVOS) -> dict[str, Tensor]:
    """A network as its official state dicts, both in one, with what nobody reads."""
    tensors = {"base.fc.weight": torch.zeros(10, 2048), "base.fc.bias": torch.zeros(10)}
    for name, value in network.state_dict().items():
        part = next(ours for ours in PARTS if name.startswith(f"{ours}."))
        tensors[PARTS[part] + name.removeprefix(part)] = value
    return tensors


@pytest.mark.parametrize("name", ["rvos", "rvos_zero_shot"])
def test_every_weight_finds_its_place(name: str) -> None:
    given, filled = small(name), small(name)
    for parameter in filled.parameters():
        torch.nn.init.zeros_(parameter)
    tensors = official(given)
    assert official_rvos(tensors) == name
    load_rvos(filled, name, {**tensors, "fc_stop.weight": torch.zeros(1, 240)})
    assert all(torch.equal(value, given.state_dict()[key]) for key, value in filled.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sk9.weight": torch.zeros(1)}, "unknown sk9.weight"),
        ({"bn5.bias": torch.zeros(3)}, re.escape("bn5.bias has shape (3,) and not (8,)")),
        ({"conv_out.bias": None}, "incomplete: nothing for decoder.predict.bias"),
        ({"sk5.weight": None}, "the decoder of rvos alone; name the folder that has both encoder.pt and decoder.pt"),
        ({"clstm_list.0.Gates.weight": None}, "the encoder of rvos alone"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_nothing_changes(
    change: dict[str, Tensor | None], message: str
) -> None:
    network = small("rvos")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    tensors = {name: value for name, value in {**official(network), **change}.items() if value is not None}
    with pytest.raises(UserError, match=message):
        load_rvos(network, "rvos", {name: value + 1 for name, value in tensors.items()})
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_tensors_of_others_are_of_none_of_them() -> None:
    assert official_rvos({"backbone.conv1.weight": torch.zeros(1)}) is None
    assert official_rvos({"clstm_list.0.Gates.weight": torch.empty(0)}) == "rvos"  # of a header, without shapes
    assert official_rvos({"sk5.weight": torch.zeros(1)}) == "rvos", "an encoder alone, which is refused by that name"


def test_a_folder_of_two_files_is_read_as_one(tmp_path: Path) -> None:
    tensors = official(small("rvos"))
    encoder = {f"module.{name}": value for name, value in tensors.items() if not name.startswith(("clstm", "conv_out"))}
    torch.save(encoder, tmp_path / "encoder.pt")
    with pytest.raises(UserError, match="are a folder; name the file in it"):
        weights_path(str(tmp_path))
    decoder = {name: value for name, value in tensors.items() if name.startswith(("clstm", "conv_out"))}
    torch.save(decoder, tmp_path / "decoder.pt")
    assert weights_path(str(tmp_path)) == tmp_path
    read = read_rvos_folder(tmp_path)
    assert read.keys() == tensors.keys() and all(torch.equal(read[name], value) for name, value in tensors.items())
    check_model(tmp_path, "rvos")
    with pytest.raises(UserError, match="holds weights of the model rvos, not of rvos_zero_shot"):
        check_model(tmp_path, "rvos_zero_shot")
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}: official weights do not fit: ")):
        load(tmp_path)  # of other widths than the released ones
    with pytest.raises(UserError, match="no moving averages"):
        load(tmp_path, averages=True)
    one = tmp_path / "both.safetensors"
    save_file({name: value.contiguous() for name, value in tensors.items()}, one)
    with pytest.raises(UserError, match="official weights do not fit"):
        load(one)


def test_weights_that_are_not_there_are_asked_for_by_the_names_of_both_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIVS_CACHE", str(tmp_path))
    place = tmp_path / "weights" / "rvos_one_shot"
    with pytest.raises(UserError, match=re.escape(f"not at {place}: get encoder.pt and decoder.pt from https")):
        weights_path("rvos")
    place.mkdir(parents=True)
    (place / "encoder.pt").touch()
    with pytest.raises(UserError, match="get encoder.pt and decoder.pt"):
        weights_path("rvos")
    (place / "decoder.pt").touch()
    assert weights_path("rvos") == place
