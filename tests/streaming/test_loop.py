"""Which frames make a clip, against a slow reading of the rule."""

from __future__ import annotations

import numpy as np
import pytest

from tests.streaming.recorder import Recorder, RecorderModel, RecorderSettings
from univs.errors import UserError
from univs.masks.geometry import Geometry
from univs.streaming.loop import ClipSchedule, Loop
from univs.trackers.object_prompts import ObjectPrompt
from univs.trackers.tracker import Question, Span


def by_the_rule(count: int, length: int, stride: int) -> list[tuple[int, int]]:
    """Starts 0, s, 2s, ...; a clip that reaches or passes the end is the last."""
    clips, start = [], 0
    while True:
        clips.append((start, min(start + length, count)))
        if start + length >= count:
            return clips
        start += stride


@pytest.mark.parametrize("length", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("count", range(1, 14))
def test_clips_and_final_frames(count: int, length: int, stride: int) -> None:
    if stride > length:
        with pytest.raises(UserError, match="stride between 1 and the length"):
            ClipSchedule(length, stride)
        return
    schedule = ClipSchedule(length, stride)
    spans: list[Span] = []
    for index in range(count):
        oldest = schedule.oldest
        span = schedule.push()
        if span is not None:
            assert span.stop == index + 1 and span.start == oldest  # as soon as its last frame has come
            spans.append(span)
    last = schedule.finish()
    spans += [] if last is None else [last]
    assert [(span.start, span.stop) for span in spans] == by_the_rule(count, length, stride)
    assert [span.final for span in spans[:-1]] == [span.start for span in spans[1:]]  # final: in no later clip
    assert schedule.finish() is None


def test_only_who_is_known_can_be_removed() -> None:
    tracker = Recorder(RecorderModel(), Question(Geometry.fit(8, 8)), RecorderSettings())
    loop = Loop(tracker, ClipSchedule(2, 1))
    loop.push(np.zeros((8, 8, 3), np.uint8), {5: ObjectPrompt()})
    with pytest.raises(KeyError):
        loop.remove(4)
    loop.remove(5)
    assert loop.object_ids == () and not tracker.removed
