"""FEELVOS: the head against its definition object by object, first weights of the embedding, the fast form, sizes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from univs.errors import UserError
from univs.models.feelvos import FEELVOS, DynamicHead, Embedding
from univs.models.own_files import save
from univs.models.pixel_matching import known_rows, normalised, pixel_rows
from univs.models.wide_depthwise import WideDepthwise
from univs.models.zoo import build_feelvos, build_network, numbers_of


def numbers() -> dict[str, Any]:
    """Of a network of a moment."""
    config = copy.deepcopy(numbers_of("feelvos_light"))
    config["name"] = "small"
    config["feelvos"]["features"] |= {"width": 12, "low_widths": [4, 6]}
    config["feelvos"]["embedding"]["dim"] = 6
    config["feelvos"]["head"] |= {"width": 8, "kernel": 3, "dilations": [1, 1]}
    config["feelvos"]["window"] = 4
    return config


@pytest.fixture(scope="module")
def network() -> FEELVOS:
    torch.manual_seed(0)
    return build_feelvos(numbers()).eval().requires_grad_(False)


def test_the_head_sees_features_and_maps_side_by_side() -> None:
    torch.manual_seed(1)
    head = DynamicHead(10, width=8, kernel=5, dilations=[2, 1, 3]).requires_grad_(False)
    for value in head.parameters():
        torch.nn.init.normal_(value, std=0.3)
    features, maps = torch.rand(1, 10, 9, 11), torch.rand(6, 3, 9, 11)
    together = head(features, maps)
    for number in range(6):
        x = torch.cat([features, maps[number : number + 1]], 1)
        for layer, dilation in zip(head.layers, (2, 1, 3), strict=True):
            deep = layer.depthwise
            x = F.conv2d(x, deep.weight, deep.bias, padding=2 * dilation, dilation=dilation, groups=x.shape[1]).relu()
            x = F.conv2d(x, layer.pointwise.weight, layer.pointwise.bias).relu()
        want = F.conv2d(x, head.predict.weight, head.predict.bias)[0, 0]
        torch.testing.assert_close(together[number], want, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(head(features, maps[[3, 1]])[1], head(features, maps[[1]])[0], atol=1e-5, rtol=1e-4)


def test_the_embedding_starts_as_the_features() -> None:
    torch.manual_seed(2)
    features = torch.rand(1, 20, 8, 8)
    embedding = Embedding(20, dim=10, identity=0.5)(features)
    assert embedding.shape == (1, 10, 8, 8) and (embedding >= 0).all()
    both = torch.stack([embedding.flatten(), features[:, :10].flatten()]).detach()
    assert torch.corrcoef(both)[0, 1] > 0.6
    assert abs(float(embedding.detach().mean()) / 0.5 - 0.5) < 0.3


def test_first_weights() -> None:
    """Those of the head keep the variance through ReLUs; those of the embedding are the identity but for little."""
    torch.manual_seed(3)
    for layer in DynamicHead(125, width=128, kernel=7, dilations=[1, 1]).requires_grad_(False).layers:
        assert not layer.depthwise.bias.any() and not layer.pointwise.bias.any()
        assert float(layer.depthwise.weight.std()) == pytest.approx((2 / 49) ** 0.5, rel=0.05)
        assert float(layer.pointwise.weight.std()) == pytest.approx((2 / 128) ** 0.5, rel=0.05)
    first = Embedding(40, dim=30, identity=2.0).requires_grad_(False)
    assert not first.depthwise.bias.any() and not first.pointwise.bias.any()
    first.depthwise.weight[:, 0, 1, 1] -= 1
    first.pointwise.weight.view(30, 40).diagonal().sub_(2)
    assert 0.05 < first.depthwise.weight.abs().max() <= 0.06 + 1e-6
    assert 0.11 < first.pointwise.weight.abs().max() <= 0.12 + 1e-6


def test_what_is_matched(network: FEELVOS) -> None:
    """Identical frames: each object is where it was; of nobody's cells nobody is near."""
    seen = network.encode(network.images(torch.randint(0, 255, (1, 3, 40, 52), dtype=torch.uint8)))
    embedding = seen.embedding[0] * 20
    labels = np.zeros((10, 13), int)
    labels[2:6, 3:8] = 1
    labels[:, 12] = -1
    known, masks = known_rows(pixel_rows(embedding)), torch.from_numpy(np.stack([labels == 0, labels == 1])).float()
    references = [known[torch.from_numpy(labels.ravel() == number)] for number in range(2)]
    maps = network.match(embedding, references, known, labels, masks)
    assert maps.shape == (2, 3, 10, 13) and torch.equal(maps[:, 1], masks)
    for number in range(2):
        inside = torch.from_numpy(labels == number)
        assert maps[number, 0][inside].max() < 1e-3 and maps[number, 2][inside].max() < 1e-3
        pixel = pixel_rows(embedding)[0]
        each = (pixel - pixel_rows(embedding)[torch.from_numpy(labels.ravel() == number)]).square().sum(1)
        assert float(maps[number, 0, 0, 0]) == pytest.approx(float(normalised(each.min())), abs=1e-4)
    two = copy.copy(network)
    two.nearest = 2
    of_two = two.match(embedding, references, known, labels, masks)
    assert torch.equal(of_two[:, 1:], maps[:, 1:]) and (of_two[:, 0] >= maps[:, 0]).all()
    assert (of_two[:, 0] > maps[:, 0]).any(), "so many of the first frame, one of the frame before"
    assert maps[1, 2, 9, 12] == 1 and maps[1, 0, 9, 12] < 1, "out of the window, but not out of the first frame"


@pytest.mark.parametrize(("height", "width"), [(48, 64), (45, 50)])
def test_the_fast_form_gives_the_same(network: FEELVOS, height: int, width: int) -> None:
    fast = network.ready("float32", False)
    assert fast is network.ready("float32", False) and fast is not network
    assert not copy.deepcopy(network).train().for_inference().training
    assert all(isinstance(branch.depthwise, WideDepthwise) for branch in fast.features.around)
    image = network.images(torch.randint(0, 255, (1, 3, height, width), dtype=torch.uint8))
    slow_seen, seen = network.encode(image), fast.encode(image)
    torch.testing.assert_close(seen.features, slow_seen.features, atol=1e-4, rtol=1e-3)
    maps = torch.rand(3, 3, *seen.features.shape[2:])
    torch.testing.assert_close(
        fast.decode(seen.features, maps), network.decode(slow_seen.features, maps), atol=1e-4, rtol=1e-3
    )
    for wrong in (("bfloat16", False), ("float32", True)):
        with pytest.raises(UserError, match="runs in float32"):
            network.ready(*wrong)


def test_sizes_of_both_configurations(tmp_path: Any) -> None:
    whole = build_feelvos(numbers_of("feelvos"))
    assert sum(value.numel() for value in whole.head.layers.parameters()) == 315_543 - 257, "without the logit"
    assert sum(value.numel() for value in whole.embedding.parameters()) == 28_260
    light = build_network(numbers_of("feelvos_light"))
    assert isinstance(light, FEELVOS)
    save(light, tmp_path / "light.safetensors", light.config)
    assert (tmp_path / "light.safetensors").stat().st_size < 12e6


def test_impossible_numbers_are_named() -> None:
    for part, change, words in (
        ("features", {"backbone": "vgg"}, "unknown backbone 'vgg'"),
        ("head", {"colour": 1}, "colour"),
        ("features", {"output_stride": 8}, "output_stride is 8"),
    ):
        config = numbers()
        config["feelvos"][part] |= change
        with pytest.raises(UserError, match=f"cannot build the model small: .*{words}"):
            build_network(config)
