"""Encoder, cells, decoder steps and modes of recurrence against the golden figures."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.conformance.golden import Golden
from univs.models.rvos import RVOS
from univs.models.rvos_decoder import ConvLSTMCell, SlotStates, mask_pyramid, recurred
from univs.models.zoo import build_network

pytestmark = pytest.mark.conformance

FEATURES, PROBABILITIES = 1e-4, 5e-4
MODES = {"spatiotemporal": "spatiotemporal", "only_spatial": "spatial", "only_temporal": "temporal"}
Networks = Callable[[str], RVOS]


def images(network: RVOS, frames: Tensor) -> Tensor:
    return network.images(frames.permute(0, 3, 1, 2))


def one_hot(labels: Tensor, slots: int) -> Tensor:
    """T H W ids -> T N H W, slot n the object n + 1."""
    return torch.stack([labels == number for number in range(1, slots + 1)], 1).float()


@pytest.mark.files("encoder*")
def test_the_encoder(golden: Golden, network: Networks) -> None:
    rvos = network("one")
    for start in {name.removesuffix("_frames_u8") for name in golden if name.endswith("_frames_u8")}:
        shown = images(rvos, golden.tensor(f"{start}_frames_u8"))
        golden.check_features(f"{start}_x1", rvos.trunk.stem(shown), FEATURES)
        for number, maps in enumerate(rvos.trunk(shown), start=2):
            golden.check_features(f"{start}_x{number}", maps, FEATURES)
        for number, skip in enumerate(rvos.encode(shown)):
            golden.check_features(f"{start}_skip{5 - number}", skip, FEATURES)


@pytest.mark.files("cells*")
@pytest.mark.parametrize("kind", ["plain", "mask"])
def test_a_step_of_a_cell(golden: Golden, kind: str) -> None:
    incoming, hidden = golden.tensor(f"{kind}_input"), golden.tensor(f"{kind}_hidden_spatial")
    channels = hidden.shape[1]
    cell = ConvLSTMCell(incoming.shape[1], channels, incoming.shape[1], masked=kind == "mask")
    weight, bias = golden.tensor(f"{kind}_weight"), golden.tensor(f"{kind}_bias")
    cell.load_state_dict({"gates.weight": weight, "gates.bias": bias})
    masks = golden.tensor("mask_prev_mask") if kind == "mask" else None
    temporal = golden.tensor(f"{kind}_hidden_temporal")[:, None]
    for name, before in (("none", None), ("temporal", temporal)):
        states = cell(incoming, None, masks, before, 1)
        for what, state in zip(("hidden", "cell"), states, strict=True):
            golden.check_features(f"{kind}_{name}_{what}", state[:, 0], FEATURES)
    for name, before in (("spatial", torch.zeros_like(temporal)), ("both", temporal)):
        maps = [incoming, *([] if masks is None else [masks]), hidden, before[:, 0]]
        states = recurred(F.conv2d(torch.cat(maps, 1), weight, bias, padding=1), golden.tensor(f"{kind}_cell_spatial"))
        for what, state in zip(("hidden", "cell"), states, strict=True):
            golden.check_features(f"{kind}_{name}_{what}", state, FEATURES)


@pytest.mark.files("decoder_steps*")
@pytest.mark.parametrize("which", ["zero", "one"])
def test_the_steps_of_the_decoder(golden: Golden, network: Networks, which: str) -> None:
    rvos, slots = network(which), 1 + max(int(n) for n in re.findall(r"_o(\d+)_logit", " ".join(golden)))
    frames, masks = golden.tensor("frames_u8"), None
    if which == "one":
        masks = one_hot(golden.tensor("masks_idx"), slots)[:1]
        for level, halved in enumerate(mask_pyramid(masks, 4)):
            for slot in range(slots):
                golden.check(f"one_prev_mask_o{slot}_l{level}", halved[:, slot : slot + 1], 0)
    states: SlotStates | None = None
    for t, skips in enumerate(map(rvos.encode, images(rvos, frames).split(1))):
        logits, states = rvos.decode(skips, masks, None if states is None else states.hidden, slots)
        for slot in range(slots):
            start = f"{which}_t{t}_o{slot}"
            golden.check_features(f"{start}_logit", logits[:, slot : slot + 1], FEATURES)
            for level in range(4):
                golden.check_features(f"{start}_l{level}_hidden", states.hidden[level][:, slot], FEATURES)
                golden.check_features(f"{start}_l{level}_cell", states.cells[level][:, slot], FEATURES)


@pytest.mark.files("recurrence_modes*")
@pytest.mark.parametrize("which", ["zero", "one"])
@pytest.mark.parametrize("mode", list(MODES))
def test_the_modes_of_recurrence(golden: Golden, network: Networks, mode: str, which: str) -> None:
    official = network(which)
    numbers = {**official.config, "rvos": {**official.config["rvos"], "recurrence": MODES[mode]}}
    rvos = build_network(numbers).eval()
    assert isinstance(rvos, RVOS)
    rvos.load_state_dict(official.state_dict())
    frames = golden.tensor("frames_u8")
    slots = int(golden[f"{mode}_{which}_prob_t0__shape"][1])
    truth = one_hot(golden.tensor("masks_idx"), slots)[:1]
    masks = truth if which == "one" else None
    states: SlotStates | None = None
    for t, skips in enumerate(map(rvos.encode, images(rvos, frames).split(1))):
        logits, states = rvos.decode(skips, masks, None if states is None else states.hidden, slots)
        probabilities = rvos.masks(logits, tuple(frames.shape[1:3])).sigmoid()
        golden.check(f"{mode}_{which}_prob_t{t}", probabilities.flatten(2), PROBABILITIES)
        if which == "one" and t > 0:
            masks = probabilities
