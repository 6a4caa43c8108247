"""Official weights of RVOS: the rule that makes them, and that they load with nothing unaccounted for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conformance.rvos.conftest import described
from univs.models.rvos import RVOS
from univs.models.rvos_official import UNREAD
from univs.models.zoo import check_model, load

pytestmark = pytest.mark.conformance


@pytest.mark.parametrize("part", ["encoder", "decoder_zero_shot", "decoder_one_shot"])
def test_the_weight_rule_gives_the_check_sums(part: str, golden_tensors: Callable[[str], dict[str, Tensor]]) -> None:
    tensors, expected = golden_tensors(part), described("weight_checksums.json")[part]
    assert expected.keys() == {name for name, tensor in tensors.items() if tensor.is_floating_point()}
    for name, (total, absolute) in expected.items():
        tensor = tensors[name].double()
        assert tensor.sum().item() == pytest.approx(total, rel=1e-6, abs=1e-3), name
        assert tensor.abs().sum().item() == pytest.approx(absolute, rel=1e-6), name


@pytest.mark.parametrize(("model", "decoder"), [("rvos", "decoder_one_shot"), ("rvos_zero_shot", "decoder_zero_shot")])
def test_every_official_tensor_is_a_weight_of_ours_or_is_known_to_be_read_by_nobody(
    model: str, decoder: str, golden_tensors: Callable[[str], dict[str, Tensor]], tmp_path: Path
) -> None:
    encoder = golden_tensors("encoder")
    torch.save({f"module.{name}": value for name, value in encoder.items()}, tmp_path / "encoder.pt")
    torch.save(golden_tensors(decoder), tmp_path / "decoder.pt")
    check_model(tmp_path, model)
    network = load(tmp_path)
    assert isinstance(network, RVOS) and network.config["name"] == model
    unread = [name for name in encoder if UNREAD.fullmatch(name)]
    assert sorted(unread) == ["base.fc.bias", "base.fc.weight"]
    assert len(network.state_dict()) == len(encoder) - len(unread) + len(golden_tensors(decoder))
