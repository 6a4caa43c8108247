"""Video object segmentation: objects shown by points, boxes, masks or scribbles are followed through the video."""

from __future__ import annotations

from univs.results import FrameResult
from univs.streaming.answer import Answer
from univs.streaming.frame_follower import FrameFollower
from univs.streaming.official_rules import follow_shown
from univs.streaming.prompting import by_object
from univs.streaming.tasks.task import Task


def answer_out(answer: Answer) -> FrameResult:
    """One label map at the frame's size."""
    return FrameResult(answer.frame_index, answer.labels(), answer.object_ids, answer.scores)


VOS = Task("vos", by_object, answer_out, {"own": FrameFollower, "official": follow_shown})
