"""Which frame shows an object, and which classes make which part of the score."""

from __future__ import annotations

import numpy as np
import pytest

from univs.data.synth.vocabulary import vocabulary
from univs.evaluation.run.synth_exam import SHOWING, exam
from univs.evaluation.run.synth_world import summarize
from univs.formats.sample import VideoSample
from univs.prompts import Box, Points
from univs.results import FrameResult


def test_an_object_is_shown_where_it_first_covers_a_thousandth() -> None:
    labels = np.zeros((4, 40, 50), np.uint8)
    labels[0, 0, 0] = 1  # one pixel of 2000
    labels[1, 0, :2] = 1  # a thousandth
    labels[2:, :20] = 1
    labels[3, 30, :1] = 2  # never enough
    sample = VideoSample(np.zeros((4, 40, 50, 3), np.uint8), labels, {1: "dog", 2: "cat"}, name="a", panoptic=labels)
    prompts = exam("vos", sample).prompts
    assert list(prompts) == [1] and [prompt.object_id for prompt in prompts[1]] == [1]
    assert np.array_equal(prompts[1][0].mask, labels[1] == 1)


def test_objects_can_be_shown_by_boxes_and_clicks() -> None:
    labels = np.zeros((2, 40, 50), np.uint8)
    labels[:, 5:20, 10:31] = 1
    sample = VideoSample(np.zeros((2, 40, 50, 3), np.uint8), labels, {1: "dog"}, name="a", panoptic=labels)
    for task in SHOWING:
        assert exam(task, sample, "box").prompts == {0: [Box(1, (10, 5, 31, 20))]}
        ((click,),) = exam(task, sample, "point").prompts.values()
        assert isinstance(click, Points) and len(click.xy) == 1 and labels[0, int(click.xy[0][1]), int(click.xy[0][0])]


def test_parts_are_of_seen_and_unseen_things_and_stuff() -> None:
    words = vocabulary()
    seen = next(name for name in words.things if name not in words.unseen)
    unseen, stuff = sorted(words.unseen & set(words.things))[0], words.stuff[0]
    found = summarize([{seen: (1.0, 2.0), unseen: (0.0, 1.0)}, {seen: (2.0, 2.0), stuff: (1.0, 4.0)}])
    assert found["parts"] == {"seen things": 75.0, "unseen things": 0.0, "stuff": 25.0}
    assert found["score"] == pytest.approx(100 / 3) and found["count"] == 3
    assert found["keys"] == {seen: 75.0, unseen: 0.0, stuff: 25.0}


@pytest.mark.parametrize(("task", "expected"), [("vos", 0.5), ("refvos", 1 / 3)])
def test_shown_objects_are_judged_on_the_frames_after_and_described_ones_on_all(task: str, expected: float) -> None:
    """An answer that is right on the second of three frames alone."""
    labels = np.zeros((3, 40, 50), np.uint8)
    labels[:, :20] = 1
    sample = VideoSample(np.zeros((3, 40, 50, 3), np.uint8), labels, {1: "dog"}, name="a", expressions={1: ["a dog"]})
    asked = exam(task, sample)
    for index in range(3):
        answer = labels[index] if index == 1 else np.zeros_like(labels[index])
        asked.take(FrameResult(index, answer, (1,)))
    ((right, count),) = asked.figures().values()
    assert (right, count) == (pytest.approx(expected), 1.0)
