"""Whole clips: probabilities and states of slots, and the official merging of slots into labels."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conformance.golden import Golden
from univs.models.rvos import RVOS, SLOTS
from univs.trackers.rvos import SlotStates
from univs.trackers.slot_merging import assigned, nearest, painted, slot_costs

pytestmark = pytest.mark.conformance

FEATURES, PROBABILITIES, PIXELS = 1e-4, 5e-4, 1e-3
NEW_AT = 2
"""The frame on which the last object of `one_shot_new_object` is shown."""
Networks = Callable[[str], RVOS]


def clip(golden: Golden, network: RVOS, shown: dict[int, dict[int, Tensor]]) -> tuple[SlotStates, list[Tensor]]:
    """The states behind the last frame, and N h w probabilities of each."""
    states = SlotStates(network)
    images = network.images(golden.tensor("frames_u8").permute(0, 3, 1, 2))
    answers = [states.answer(image, SLOTS, shown.get(t, {})) for t, image in enumerate(images.split(1))]
    return states, answers


def check_states(golden: Golden, states: SlotStates, slot: int) -> None:
    assert states.hidden is not None
    for level, maps in enumerate(states.hidden):
        golden.check_features(f"last_hidden_o{slot}_l{level}", maps[:, slot], FEATURES)


def check_labels(golden: Golden, name: str, ours: np.ndarray) -> None:
    wrong = np.mean(golden.labels(name) != ours)
    print(f"{golden.name} {name}: {wrong:.2%} of the pixels differ")
    assert ours.shape == golden.labels(name).shape and wrong <= PIXELS


def merged(slots: np.ndarray, ids: list[int], starts: dict[int, np.ndarray], candidates: int) -> np.ndarray:
    """T N h w masks -> T H W labels as officially. starts: frame -> H W labels of the objects that start there."""
    size = next(iter(starts.values())).shape
    known: dict[int, int] = {}
    cost_of: dict[int, float] = {}
    labels = []
    for t, masks in enumerate(slots):
        given = {n: starts[t] == n for n in ids if t in starts and n not in known and (starts[t] == n).any()}
        if given:
            costs = slot_costs(ids, given, [nearest(mask, size) for mask in masks[:candidates]], known)
            for row, slot in enumerate(assigned(costs)):
                if ids[row] in given or ids[row] in known:
                    known[ids[row]] = slot
                if ids[row] in given:
                    cost_of[ids[row]] = costs[row, slot]
        labels.append(painted({n: masks[s] for n, s in known.items() if n not in given}, cost_of, given, size))
    return np.stack(labels)


@pytest.mark.files("one_shot*")
def test_one_shot(golden: Golden, network: Networks) -> None:
    truth = golden.tensor("masks_idx")
    count = int(truth.max())
    late = "init_labels_full" not in golden
    shown = {0: {n - 1: (truth[0] == n).float() for n in range(1, count + 1 - late)}}
    if late:
        shown[NEW_AT] = {count - 1: (truth[NEW_AT] == count).float()}
    states, answers = clip(golden, network("one"), shown)
    for t, probabilities in enumerate(answers):
        golden.check(f"prob_t{t}", probabilities[:count], PROBABILITIES)
        golden.check(f"prob_all_t{t}", probabilities, PROBABILITIES)
    check_states(golden, states, 0)
    if late:
        return
    given = golden["init_labels_full"]
    ids, slots = list(range(1, int(given.max()) + 1)), torch.stack(answers).numpy() > 0.5
    costs = slot_costs(ids, {n: given == n for n in ids}, [nearest(m, given.shape) for m in slots[0, : len(ids)]], {})
    golden.check("cost_first_frame", costs, PIXELS)
    assert assigned(costs) == golden["assignment"].tolist()
    check_labels(golden, "labels_full", merged(slots, ids, {0: given}, len(ids)))


@pytest.mark.files("zero_shot*")
def test_zero_shot(golden: Golden, network: Networks) -> None:
    states, answers = clip(golden, network("zero"), {})
    for t, probabilities in enumerate(answers):
        golden.check(f"prob_t{t}", probabilities, PROBABILITIES)
    check_states(golden, states, SLOTS - 1)
    given = golden["init_labels"]
    ids, slots = list(range(1, int(given.max()) + 1)), torch.stack(answers).numpy() > 0.5
    costs = slot_costs(ids, {n: given == n for n in ids}, [nearest(mask, given.shape) for mask in slots[0]], {})
    golden.check("cost_first_frame", costs, PIXELS)
    assert assigned(costs) == golden["assignment"].tolist()
    check_labels(golden, "labels", merged(slots, ids, {0: given}, SLOTS))


@pytest.mark.files("merging_youtube*")
@pytest.mark.parametrize("which", ["zero", "one"])
def test_objects_that_start_later(golden: Golden, which: str) -> None:
    shape = tuple(golden[f"{which}_slots_shape"])
    bits = np.unpackbits(golden[f"{which}_slots_bits"])[: math.prod(shape)]
    starts, annotations = golden["start_frames"], golden["annotations_idx"]
    ids = list(range(1, len(starts) + 1))
    candidates = len(ids) if which == "one" else shape[1]
    given = {
        int(t): np.where(np.isin(annotations[t], 1 + np.flatnonzero(starts == t)), annotations[t], 0) for t in starts
    }
    labels = merged(bits.reshape(shape).astype(bool), ids, given, candidates)
    check_labels(golden, f"{which}_labels", labels)
