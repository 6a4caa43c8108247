"""Whole videos by space-time memories against the golden figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.masks.geometry import Geometry
from univs.models.space_time_memory import SpaceTimeMemory
from univs.prompts import Mask
from univs.streaming import Session
from univs.trackers.space_time import SpaceTimeSettings, SpaceTimeTracker
from univs.trackers.tracker import Frame, Question

pytestmark = pytest.mark.conformance

Networks = Callable[[str], SpaceTimeMemory]
FLIPPED = 1e-3
"""Share of the pixels whose label may differ."""


def masks_of(labels: np.ndarray) -> dict[int, np.ndarray]:
    return {int(number): labels == number for number in np.unique(labels) if number}


def tracker_of(network: SpaceTimeMemory, golden: Any, **settings: Any) -> SpaceTimeTracker:
    height, width = golden["frames_u8"].shape[1:3]
    return SpaceTimeTracker(network, Question(Geometry.fit(height, width)), SpaceTimeSettings(**settings))


def follow(tracker: SpaceTimeTracker, golden: Any, indices: Iterable[int]) -> tuple[dict[int, Tensor], list[int]]:
    """Probabilities of each frame, of which the first is shown, and frames read for each of the others."""
    joint, read = {}, []
    for index in indices:
        given = {} if joint else masks_of(golden["mask_idx"])
        read += [tracker.bank.frames(1)] if joint else []
        joint[index] = tracker.follow(Frame(index, golden["frames_u8"][index]), given)
    return joint, read


def check(golden: Any, name: str, labels: np.ndarray) -> None:
    wrong = float((labels != golden.labels(name)).mean())
    assert wrong <= FLIPPED, f"{golden.name}: {wrong:.2%} of the labels differ"


@pytest.mark.files("prop_*")
def test_mivos_both_ways(golden: Any, space_time: Networks) -> None:
    """Forward from the masked frame, then backward from it, each with a memory of its own."""
    start, count = int(golden["mask_frame"]), len(golden["frames_u8"])
    joint: dict[int, Tensor] = {}
    read: list[int] = []
    for way in (range(start, count), range(start, -1, -1)):
        tracker = tracker_of(space_time("mivos"), golden, memory_interval=int(golden["mem_freq"]))
        found, frames = follow(tracker, golden, way)
        joint, read = {**found, **joint}, read + frames
    assert read == golden["memory_frames_read_per_step"].tolist()
    assert tracker.places.padding == tuple(golden["pad_lrtb"])
    for index, probabilities in joint.items():
        if index != start:  # where the mask was given, the official padding is nobody's
            golden.check(f"out_prob_t{index}", probabilities[:, None], 5e-4)
    labels = [tracker.places.inner(joint[index]).argmax(0).numpy() for index in range(count)]
    check(golden, "out_masks", np.stack(labels))


@pytest.mark.files("stm/video_*")
def test_stm(golden: Any, space_time: Networks) -> None:
    count, every = len(golden["frames_u8"]), int(golden["mem_every"])
    tracker = tracker_of(space_time("stm"), golden, memory_interval=every, top_k=None, at_multiples=True)
    joint, read = follow(tracker, golden, range(count))
    assert read == golden["memory_frames_read_per_step"].tolist()
    inner = {index: tracker.places.inner(probabilities) for index, probabilities in joint.items()}
    for name in golden:
        if match := re.fullmatch(r"(prob_t(\d+))__shape", name):
            golden.check(match[1], inner[int(match[2])], 5e-4)
    check(golden, "pred", torch.stack([inner[index].argmax(0) for index in range(count)]).numpy())


@pytest.mark.files("stm/video_*1obj*")
def test_a_session_goes_the_same_way(golden: Any, space_time: Networks) -> None:
    network, labels = space_time("stm"), []
    with Session(network, size=0, memory_interval=int(golden["mem_every"])) as session:
        for index, frame in enumerate(golden["frames_u8"]):
            shown = masks_of(golden["mask_idx"]) if index == 0 else {}
            labels.append(session.step(frame, [Mask(number, mask) for number, mask in shown.items()]).labels)
    check(golden, "pred", np.stack(labels))
