"""The networks that make masks of scribbles and clicks, against the golden figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from univs.models.fbrs import ClickNetwork, distance_maps
from univs.models.scribble_to_mask import ScribbleToMask
from univs.models.segmenter_files import load_segmenter

pytestmark = pytest.mark.conformance
Tensors = Callable[[str], dict[str, Tensor]]


@pytest.fixture(scope="module")
def scribble_network(golden_tensors: Tensors, tmp_path_factory: pytest.TempPathFactory) -> ScribbleToMask:
    """The official S2M, by way of an official file."""
    path = tmp_path_factory.mktemp("weights") / "s2m.pth"
    torch.save(golden_tensors("s2m_network"), path)
    network = load_segmenter(path)
    assert isinstance(network, ScribbleToMask)
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def click_network(golden_tensors: Tensors, tmp_path_factory: pytest.TempPathFactory) -> ClickNetwork:
    """The official f-BRS, by way of an official file that lies as f-BRS saves it."""
    path = tmp_path_factory.mktemp("weights") / "resnet50_dh128_lvis.pth"
    torch.save({"state_dict": golden_tensors("fbrs_resnet50_dh128_network")}, path)
    network = load_segmenter(path)
    assert isinstance(network, ClickNetwork)
    return network.requires_grad_(False)


@pytest.mark.parametrize("network", ["s2m_network", "fbrs_resnet50_dh128_network"])
def test_every_tensor_lands(network: str, golden_tensors: Tensors, tmp_path: Path) -> None:
    tensors = golden_tensors(network)
    torch.save(tensors, tmp_path / "official.pth")
    state = load_segmenter(tmp_path / "official.pth").state_dict()

    def fingerprints(tensors: dict[str, Tensor]) -> list[tuple[list[int], float]]:
        return sorted((list(tensor.shape), tensor.double().sum().item()) for tensor in tensors.values())

    assert fingerprints(state) == fingerprints(tensors)


@pytest.mark.files("s2m*")
def test_scribbles_become_logits(golden: Any, scribble_network: ScribbleToMask) -> None:
    image = golden.images()[0]
    previous, positive, negative = (
        golden.tensor(name).float()[None] for name in ("prev_mask", "pos_scribble", "neg_scribble")
    )
    nothing = torch.zeros_like(previous)
    first = scribble_network(torch.cat([image, nothing, positive, nothing])[None])
    golden.check("logits_first", first, 1e-3)
    corrective = scribble_network(torch.cat([image, previous, positive, negative])[None])
    golden.check("logits_corrective", corrective, 1e-3)
    x = torch.cat([image, previous, nothing, negative])[None]
    golden.check("logits_corrective_neg_only", scribble_network(x), 1e-3)
    low, high = scribble_network.backbone(x)
    golden.check_features("feat_low_level", low)
    golden.check_features("feat_out", high)
    golden.check_features("feat_aspp", scribble_network.classifier.aspp(high))


@pytest.mark.files("fbrs*")
def test_clicks_become_logits(golden: Any, click_network: ClickNetwork) -> None:
    image, points = golden.images(), golden["points_yx"][0]
    size = (image.shape[2], image.shape[3])
    on, beside = (
        [(float(x), float(y)) for y, x in half if y >= 0]
        for half in (points[: len(points) // 2], points[len(points) // 2 :])
    )
    clicks = distance_maps(on, beside, size)
    golden.check("dist_maps", clicks, 1e-6)
    golden.check_features("rgb_conv", click_network.mixing(torch.cat([image, clicks], dim=1)))
    features = click_network.features(image, clicks)
    golden.check_features("deeplab_feat", features)
    golden.check("logits", click_network(image, clicks), 1e-3)
    assert torch.equal(click_network.logits(features, size), click_network(image, clicks))
