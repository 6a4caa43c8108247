"""Which objects of a clip are prompted and listed."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")

from univs.data.clip_batches import listed_objects  # noqa: E402
from univs.data.clips import ClipSettings, PromptDraws, prompt_clip  # noqa: E402


def test_large_objects_are_prompted_more_often_than_small_ones() -> None:
    labels = np.zeros((1, 256, 256), np.uint8)
    labels[0, 100:200, 100:200] = 1
    for number in range(2, 8):
        labels[0, :10, number * 20 : number * 20 + 10] = number
    labels[0, 250:255, :5] = 9  # too small to be asked for
    settings = ClipSettings({}, prompts=PromptDraws(objects=1, frames=1))
    rng = np.random.default_rng(0)
    asked = [int(prompt_clip(rng, labels, (1,), settings)[1][0].ids[0]) for _ in range(300)]
    share = asked.count(1) / 300  # by square roots of areas: 100 of 160; by count it were one in seven
    assert 0.52 < share < 0.72 and 9 not in asked and len(set(asked)) == 7


def test_the_largest_objects_are_listed() -> None:
    labels = np.zeros((300, 300), np.uint8)
    for number in range(1, 31):
        labels[number * 9 : number * 9 + 8, : 8 + number] = number
    labels[0, :10] = 99
    assert listed_objects(labels).tolist() == list(range(7, 31))
