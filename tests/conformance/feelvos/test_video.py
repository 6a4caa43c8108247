"""FEELVOS over whole videos against the golden figures, through the tracker that sessions use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.masks.geometry import Geometry
from univs.models.feelvos import FEELVOS, Seen
from univs.prompts import Mask
from univs.streaming import Session
from univs.trackers.feelvos import Compared, EmbeddingSettings, EmbeddingTracker
from univs.trackers.tracker import Frame, Question

pytestmark = pytest.mark.conformance

FEATURES, MAPS, PROBABILITIES, FLIPPED = 1e-4, 1e-4, 5e-4, 1e-3
"""Tolerances; the last one is a share of the pixels."""


def masks_of(golden: Any) -> dict[int, np.ndarray]:
    first = golden["masks_idx"][0]
    ids = [int(number) for number in golden["object_ids"] if number]
    return {number: first == number for number in ids}


def wrong(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return float((ours != theirs).mean())


class Watched(EmbeddingTracker):
    """Keeps what the frame was answered from."""

    seen: Seen

    def remember(self, index: int, seen: Seen, *rest: Any) -> None:
        self.seen = seen
        super().remember(index, seen, *rest)


def last(maps: Tensor) -> Tensor:
    """C h w -> h w C."""
    return maps.permute(1, 2, 0)


@pytest.mark.feelvos_files("video*")
@pytest.mark.parametrize("fast", [False, True])
def test_frame_by_frame(golden: Any, network: FEELVOS, fast: bool) -> None:
    model = network.ready("float32", False) if fast else network
    frames = golden["frames_u8"]
    tracker = Watched(model, Question(Geometry.fit(*frames.shape[1:3])), EmbeddingSettings())
    for t, image in enumerate(frames):
        before = tracker.before
        labels, compared = tracker.follow(Frame(t, image), masks_of(golden) if t == 0 else {})
        golden.check(f"embedding_t{t}", last(tracker.seen.embedding[0]), FEATURES, relative=True)
        if t == 0:
            assert np.array_equal(labels, golden["masks_idx"][0]) and compared is None
            continue
        assert before is not None and isinstance(compared, Compared)
        assert list(compared.channels) == golden["object_ids"].tolist()
        assert wrong(before.labels.numpy(), golden[f"previous_small_t{t}"]) <= FLIPPED
        golden.check(f"global_t{t}", last(compared.maps[:, 0]), MAPS)
        golden.check(f"local_t{t}", last(compared.maps[:, 2]), MAPS)
        golden.check(f"softmax_t{t}", last(compared.logits.softmax(0)), PROBABILITIES)
        assert wrong(labels, golden[f"label_t{t}"]) <= FLIPPED


@pytest.mark.feelvos_files("video*")
def test_a_session(golden: Any, network: FEELVOS) -> None:
    """The public way to the same labels, under other ids."""
    with Session(network, size=0) as session, torch.no_grad():
        for t, image in enumerate(golden["frames_u8"]):
            shown = [Mask(100 + 7 * number, mask) for number, mask in masks_of(golden).items()]
            result = session.step(image, shown if t == 0 else [])
            want = golden["masks_idx"][0] if t == 0 else golden[f"label_t{t}"]
            assert wrong(result.labels, np.where(want, 100 + 7 * want.astype(int), 0)) <= FLIPPED
