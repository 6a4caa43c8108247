"""Which official model tensors are of, and what does not fit. (All names: tests/conformance/siammask.)"""

from __future__ import annotations

import pytest
import torch

from univs.errors import UserError
from univs.models.siammask_official import load_siammask, official_name, official_siammask, our_name
from univs.models.zoo import build_network, numbers_of

BASE = ["features.features.conv1.weight", "features.downsample.downsample.0.weight", "mask_model.mask.head.0.weight"]


def test_models_are_known_by_their_names() -> None:
    assert official_siammask(BASE) == "siammask_base"
    assert official_siammask([*BASE, "refine_model.v0.0.weight"]) == "siammask"
    theirs = ["backbone.conv1.weight", "neck.downsample.downsample.1.bias", "mask_head.head.3.bias"]
    assert official_siammask([*theirs, "refine_head.deconv.bias"]) == "siammask"
    assert official_siammask(BASE[:2]) is None and official_siammask(["backbone.conv1.weight"]) is None


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("features.features.layer3.5.bn2.running_var", "trunk.stages.2.5.bn2.running_var"),
        ("features.features.layer2.0.downsample.0.weight", "trunk.stages.1.0.downsample.0.weight"),
        ("rpn_model.loc.conv_search.1.bias", "loc.crop.1.bias"),
        ("mask_head.head.3.weight", "mask.head.2.weight"),
        ("refine_head.v2.2.weight", "refinement.beside.0.2.weight"),
        ("refine_model.h0.0.bias", "refinement.running.2.0.bias"),
        ("refine_model.post0.bias", "refinement.after.0.bias"),
        ("neck.downsample.downsample.0.weight", "neck.0.weight"),
        ("rpn_model.cls.head.2.weight", None),
    ],
)
def test_names(theirs: str, ours: str | None) -> None:
    assert our_name(theirs) == ours
    assert official_name(official_name(theirs)) == official_name(theirs)


def test_foreign_tensors_are_refused_and_nothing_changes() -> None:
    network = build_network(numbers_of("siammask_base"))
    before = network.state_dict()["neck.0.weight"].clone()
    tensors = {"features.downsample.downsample.0.weight": torch.zeros(256, 1024, 1, 1)}
    with pytest.raises(UserError, match="nothing for trunk.conv1.weight and "):
        load_siammask(network, "siammask_base", tensors)
    with pytest.raises(UserError, match=r"downsample.0.weight has shape \(1,\) and not \(256, 1024, 1, 1\)"):
        load_siammask(network, "siammask_base", {name: torch.zeros(1) for name in tensors})
    assert torch.equal(network.state_dict()["neck.0.weight"], before)
