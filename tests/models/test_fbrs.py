"""Click maps by a slow loop, the correction of features, and names of official tensors."""

from __future__ import annotations

import math

import pytest
import torch

from univs.models.fbrs import ClickNetwork, distance_maps, official_name


def test_each_cell_knows_its_nearest_click() -> None:
    on, beside = [(3.0, 2.0), (10.0, 6.5)], [(0.0, 7.0)]
    maps = distance_maps(on, beside, (8, 12))
    for plane, clicks in zip(maps[0], (on, beside), strict=True):
        for y in range(8):
            for x in range(12):
                nearest = min(math.hypot(x - cx, y - cy) for cx, cy in clicks)
                assert plane[y, x].item() == pytest.approx(math.tanh(2 * nearest / 260), abs=1e-6)
    assert (distance_maps(on, [], (8, 12))[0, 1] == 1).all()


def test_features_are_scaled_and_shifted_before_the_head() -> None:
    torch.manual_seed(0)
    network = ClickNetwork().eval().requires_grad_(False)
    features = torch.randn(1, 128, 4, 5)
    scale, shift = torch.rand(1, 128), torch.randn(1, 128)
    by_hand = network.logits(features * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1), (16, 20))
    assert torch.allclose(network.logits(features, (16, 20), scale, shift), by_hand, atol=1e-6)
    corners = network.head(features)[0, 0, [0, -1]][:, [0, -1]]
    # corner cells lie on the corner pixels
    assert torch.allclose(network.logits(features, (16, 20))[0, 0, [0, -1]][:, [0, -1]], corners, atol=1e-5)


def test_official_names() -> None:
    assert official_name("feature_extractor.aspp.concurent.4.gap.2.bias") == "aspp.convs.4.2.bias"
    assert official_name("feature_extractor.head.block.0.body.1.weight") == "decoder.0.1.weight"
    assert official_name("head.layers.2.weight") == "head.2.weight"
    assert official_name("something.else") == "something.else"
