"""What networks beside UniVS have in common."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from univs.errors import UserError
from univs.models.video_network import VideoNetwork


class Small(VideoNetwork):
    called = "a small network"

    def __init__(self) -> None:
        super().__init__([1, 2, 3], [4, 5, 6], {"streaming": {"short_side": 7}, "name": "small"})
        self.layer = nn.Linear(2, 2)

    def for_inference(self) -> Small:
        made = Small()
        made.load_state_dict(self.state_dict())
        return made.eval()


def test_colours_are_no_weights_and_numbers_are_its_own() -> None:
    network = Small()
    assert network.pixel_mean.shape == (3, 1, 1) and network.pixel_std.flatten().tolist() == [4, 5, 6]
    assert set(network.state_dict()) == {"layer.weight", "layer.bias"}
    network.streaming["short_side"] = 0
    assert network.streaming == {"short_side": 7} and network.config["name"] == "small"


def test_the_fast_form_is_made_once_until_weights_change() -> None:
    network = Small()
    first = network.ready("float32", False)
    assert isinstance(first, Small) and first is not network and network.ready("float32", False) is first
    with torch.no_grad():
        network.layer.weight += 1
    again = network.ready("float32", False)
    assert again is not first and torch.equal(again.layer.weight, network.layer.weight)


@pytest.mark.parametrize("asked", [("bfloat16", False), ("float32", True)])
def test_what_it_cannot_be(asked: tuple[str, bool]) -> None:
    with pytest.raises(UserError, match="a small network runs in float32 and not compiled"):
        Small().ready(*asked)
