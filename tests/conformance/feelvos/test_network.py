"""FEELVOS's networks against the golden figures: backbone, pyramid, decoder, embedding, head."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conformance.feelvos.conftest import golden_weight
from univs.masks.aligned_corners import cells
from univs.models.feelvos import FEELVOS, DynamicHead
from univs.models.feelvos_official import our_layout, our_name

pytestmark = pytest.mark.conformance

FEATURES = 1e-4


def unit(number: int) -> Callable[[FEELVOS], nn.Module]:
    return lambda network: network.features.backbone.units[number]


TAPS: dict[str, Callable[[FEELVOS], nn.Module]] = {
    "conv1_1": lambda network: network.features.backbone.norm1,
    "conv1_2": lambda network: network.features.backbone.norm2,
    "entry1": unit(0),
    "entry2": unit(1),
    "entry3": unit(2),
    "middle": unit(18),
    "exit1": unit(19),
    "exit2": unit(20),
}


def last(maps: Tensor) -> Tensor:
    """1 C h w -> h w C."""
    return maps[0].permute(1, 2, 0)


def images_of(golden: Any, kind: str) -> Tensor:
    image = golden.tensor("image_u8")
    if kind == "even":  # one more column, one row less
        image = torch.cat([image, image[:, -1:]], 1)[:-1]
    return image.permute(2, 0, 1)[None]


@pytest.mark.feelvos_files("backbone*")
@pytest.mark.parametrize(("kind", "stride"), [("os8", 8), ("os16", 16), ("even", 8)])
def test_features(golden: Any, network: FEELVOS, kind: str, stride: int) -> None:
    network = copy.deepcopy(network)
    network.features.arrange(stride)
    seen: dict[str, Tensor] = {}
    for name, find in TAPS.items():

        def keep(_: nn.Module, __: object, out: Any, name: str = name) -> None:
            seen[name] = out[0] if isinstance(out, tuple) else out.clone()

        find(network).register_forward_hook(keep)
    images = network.images(images_of(golden, kind))
    features = network.features
    low, high = features.backbone(images)
    aspp = features.pyramid(high)
    decoded = features.decode([low], aspp, tuple(cells(side) for side in images.shape[-2:]))
    seen |= {"low_level": low, "aspp": aspp, "decoder": decoded, "embedding": network.embedding(decoded)}
    for name, maps in seen.items():
        golden.check(f"{kind}_{name}", last(maps), FEATURES, relative=True)
    whole = network.encode(images)
    assert torch.equal(whole.features, decoded) and torch.equal(whole.embedding, seen["embedding"])


@pytest.mark.feelvos_files("backbone*")
def test_the_fast_form_gives_the_same(golden: Any, network: FEELVOS) -> None:
    fast = network.ready("float32", False)
    for kind in ("os8", "even"):
        seen = fast.encode(fast.images(images_of(golden, kind)))
        golden.check(f"{kind}_decoder", last(seen.features), FEATURES, relative=True)
        golden.check(f"{kind}_embedding", last(seen.embedding), FEATURES, relative=True)


@pytest.mark.feelvos_files("heads*")
def test_head(golden: Any, network: FEELVOS) -> None:
    features = golden.tensor("features").float().permute(0, 3, 1, 2)
    maps = golden.tensor("maps").permute(0, 3, 1, 2)
    golden.check("embedding", network.embedding(features).permute(0, 2, 3, 1), FEATURES, relative=True)
    for head, name in ((network.head, "head"), (dilated_head(), "head_dilated")):
        looked = head.look(head.shared(features), maps)
        golden.check(name, looked.permute(0, 2, 3, 1), FEATURES, relative=True)
    for model in (network, network.ready("float32", False)):
        logits = model.decode(features, maps)
        golden.check("logits", logits[..., None], FEATURES, relative=True)
        golden.check("softmax", logits.softmax(0)[..., None], 5e-4)


def dilated_head() -> DynamicHead:
    """A head of other dilations, whose weights are drawn under names of their own."""
    head = DynamicHead(256, width=256, kernel=7, dilations=[1, 2, 1, 2]).requires_grad_(False)
    for number in range(4):
        for part, leaf in (("depthwise", "depthwise_weights"), ("pointwise", "weights")):
            convolution = getattr(head.layers[number], part)
            for last_part, values in ((leaf, convolution.weight), ("biases", convolution.bias)):
                name = f"embedding_seg/split_separable_conv2d_{number}_{part}/{last_part}"
                shape = list(values.shape)
                if values.ndim == 4:
                    shape = [shape[i] for i in ((2, 3, 0, 1) if part == "depthwise" else (2, 3, 1, 0))]
                drawn = golden_weight(f"dilated/{name}", shape)
                values.copy_(our_layout(name, np.asarray(drawn)))
                assert our_name(name) == f"head.layers.{number}.{part}.{'bias' if values.ndim == 1 else 'weight'}"
    return head
