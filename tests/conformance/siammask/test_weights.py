"""Official weights of SiamMask: those of the rule, under the names of either program, nothing left over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from univs.errors import UserError
from univs.models.siammask import SiamMask
from univs.models.siammask_official import PYSOT, official_siammask, our_name
from univs.models.zoo import check_model, load

pytestmark = pytest.mark.conformance
MODELS = ("siammask", "siammask_base")
Tensors = Callable[[str], dict[str, Tensor]]


def pysot(name: str) -> str:
    """The name that PySOT has for an official one."""
    for pattern, official in PYSOT:
        if name.startswith(official):
            return pattern.replace("\\", "") + name.removeprefix(official)
    return name


@pytest.mark.parametrize("model", MODELS)
def test_weights_are_those_of_the_rule(
    model: str, golden_tensors: Tensors, golden_description: Callable[[str, str], Any]
) -> None:
    sums = golden_description(model, "weight_checksums.json")
    tensors = golden_tensors(model)
    assert sums.keys() == {name for name, value in tensors.items() if value.is_floating_point()}
    for name, (total, absolute) in sums.items():
        value = tensors[name].double()
        assert float(value.sum()) == pytest.approx(total, rel=1e-9, abs=1e-6 * absolute), name
        assert float(value.abs().sum()) == pytest.approx(absolute, rel=1e-9), name


@pytest.mark.parametrize("model", MODELS)
def test_every_name_is_one_of_ours(model: str, golden_tensors: Tensors, siammask: Callable[[str], SiamMask]) -> None:
    names = golden_tensors(model).keys()
    ours = {our_name(name) for name in names}
    assert ours == siammask(model).state_dict().keys() and len(ours) == len(names)
    assert {our_name(pysot(name)) for name in names} == ours
    assert official_siammask(names) == official_siammask(map(pysot, names)) == model


@pytest.mark.parametrize("wrapped", [False, True])
def test_files_of_both_programs_load(wrapped: bool, tmp_path: Path, golden_tensors: Tensors) -> None:
    tensors = golden_tensors("siammask")
    given = {n: value for n, value in tensors.items() if not n.endswith("num_batches_tracked")} if wrapped else tensors
    name = (lambda n: f"module.{pysot(n)}") if wrapped else str
    content: Any = {name(n): value for n, value in given.items()}
    torch.save({"state_dict": content, "epoch": 3} if wrapped else content, tmp_path / "official.pth")
    loaded = load(tmp_path / "official.pth")
    check_model(tmp_path / "official.pth", "siammask")
    state = loaded.state_dict()
    assert isinstance(loaded, SiamMask) and not loaded.training
    assert all(torch.equal(state[our_name(n) or ""], value) for n, value in given.items())


def test_what_is_missing_is_named(tmp_path: Path, golden_tensors: Tensors) -> None:
    tensors = {**golden_tensors("siammask"), "rpn_model.cls.other": torch.zeros(1)}
    torch.save(tensors, tmp_path / "more.pth")
    with pytest.raises(UserError, match=r"unknown rpn_model\.cls\.other"):
        load(tmp_path / "more.pth")
    del tensors["rpn_model.cls.other"], tensors["refine_model.h1.0.bias"]
    torch.save(tensors, tmp_path / "less.pth")
    with pytest.raises(UserError, match=r"nothing for refinement\.running\.1\.0\.bias"):
        load(tmp_path / "less.pth")
