"""The small networks that ship do what their card says: those that follow keep to what a mask showed."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import univs
from univs.benchmark.step import moving_frames
from univs.models.portrait import PortraitNet
from univs.prompts import Mask
from univs.streaming import segment

SIZE = 240, 427
OBJECTS = 2
LEAST = 0.8


@pytest.mark.parametrize("name", ["feelvos_light", "siammask_light", "stm_light", "tiny"])
def test_drifting_discs_are_followed(name: str) -> None:
    shown = list(islice(moving_frames(*SIZE, OBJECTS), 8))
    first = shown[0][1]
    prompts = {0: [Mask(number, first == number) for number in range(1, OBJECTS + 1)]}
    results = list(segment(univs.load(name), [frame for frame, _ in shown], prompts, task="vos", size=0))
    assert len(results) == len(shown)
    for result, (_, truth) in zip(results, shown, strict=True):
        for number in range(1, OBJECTS + 1):
            found, wanted = result.labels == number, truth == number
            assert (found & wanted).sum() / (found | wanted).sum() > LEAST, (result.frame_index, number)


def test_nobody_is_found_on_bare_ground() -> None:
    model = univs.load("portrait")
    assert isinstance(model, PortraitNet)
    ground = np.full((12, *SIZE, 3), (90, 120, 80), np.uint8)
    for result in segment(model, list(ground), {}, task="zero_shot"):
        assert (result.labels > 0).mean() < 0.02
