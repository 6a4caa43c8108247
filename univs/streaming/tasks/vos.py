"""Video object segmentation: objects shown by points, boxes, masks or scribbles are followed through the video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from univs.results import FrameResult
from univs.streaming.tasks.task import Task
from univs.trackers.object_prompts import by_object

if TYPE_CHECKING:
    from univs.trackers.answers import Answer


def answer_out(answer: Answer) -> FrameResult:
    """One label map at the frame's size."""
    return FrameResult(answer.frame_index, answer.labels(), answer.object_ids, answer.scores)


VOS = Task(
    "vos",
    by_object,
    answer_out,
    {"own": "univs.trackers.frame.tracker:FrameTracker", "official": "univs.trackers.clip.released:follow_shown"},
)
