"""RVOS: its modes of recurrence, its fast form, its numbers. (Official figures: tests/conformance/rvos.)"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from univs.errors import UserError
from univs.models.rvos import RVOS
from univs.models.zoo import build_network, numbers_of

SMALL: dict[str, Any] = {"blocks": [1, 1, 1, 1], "hidden": [8, 8, 4, 4], "sees_masks": True}


def small(**changes: Any) -> RVOS:
    """A network with other numbers than the official ones, its batch norms with statistics of their own."""
    torch.manual_seed(0)
    numbers = {**numbers_of("rvos"), "rvos": {**SMALL, "recurrence": "spatiotemporal", **changes}}
    network = build_network(numbers)
    assert isinstance(network, RVOS)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, std=0.1)
    return network.eval().requires_grad_(False)


@pytest.fixture
def frames() -> torch.Tensor:
    """Two frames."""
    torch.manual_seed(2)
    return torch.randint(0, 256, (2, 3, 45, 70), dtype=torch.uint8)


def test_what_each_mode_recurs_over(frames: torch.Tensor) -> None:
    torch.manual_seed(3)
    masks = torch.rand(1, 2, 45, 70)
    other = masks.clone()
    other[:, 0] = 1 - other[:, 0]
    sees_first: dict[str, list[bool]] = {}
    sees_past: dict[str, bool] = {}
    for mode in ("spatiotemporal", "spatial", "temporal"):
        network = small(recurrence=mode)
        skips = network.encode(network.images(frames[:1]))
        first, states = network.decode(skips, masks, None, 2)
        changed, other_states = network.decode(skips, other, None, 2)
        again, _ = network.decode(skips, masks, states.hidden, 2)
        sees_past[mode] = not torch.equal(again, first)
        later, _ = network.decode(skips, other, states.hidden, 2)
        sees_first[mode] = [not torch.equal(a[:, 1], b[:, 1]) for a, b in ((first, changed), (again, later))]
        assert not torch.equal(other_states.hidden[0], states.hidden[0])
    assert sees_past == {"spatiotemporal": True, "spatial": False, "temporal": True}
    assert sees_first == {"spatiotemporal": [True, True], "spatial": [True, True], "temporal": [True, False]}


def test_the_fast_form_gives_the_same_answers(frames: torch.Tensor) -> None:
    network = small()
    fast, masks = network.ready("float32", False), torch.rand(2, 3, 45, 70)
    assert fast is network.ready("float32", False)
    got, want = (one.decode(one.encode(one.images(frames)), masks, None, 3)[0] for one in (fast, network))
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
    assert network.masks(want, (45, 70)).shape == (2, 3, 45, 70)
    with pytest.raises(UserError, match="float32 and not compiled"):
        network.ready("bfloat16", False)


def test_what_it_can_do_depends_on_whether_it_sees_masks() -> None:
    assert list(small().trackers()) == ["vos"]
    assert list(small(sees_masks=False).trackers()) == ["zero_shot"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recurrence": "both"}, "cannot build the model rvos: unknown recurrence 'both': one of spatiotemporal"),
        ({"blocks": [1, 1, 1]}, "cannot build the model rvos"),
        ({"depth": 3}, "unexpected keyword argument 'depth'"),
    ],
)
def test_impossible_numbers_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**changes)


def test_pixels_are_normalised_by_the_numbers_of_imagenet() -> None:
    grey = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    got = small().images(grey).flatten().tolist()
    assert got == pytest.approx([(1 - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))], rel=1e-5)
