"""Referring segmentation: expressions describe objects, and each is found and followed through the video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from univs.results import FrameResult
from univs.streaming.tasks.task import Task
from univs.trackers.object_prompts import by_expression

if TYPE_CHECKING:
    from univs.trackers.answers import Answer


def answer_out(answer: Answer) -> FrameResult:
    """A mask for each expression; they may overlap, and in the label map the later expression wins."""
    from univs.trackers.answers import painted

    masks = answer.masks()
    object_ids = tuple(sorted(masks))
    return FrameResult(answer.frame_index, painted(masks, answer.geometry), object_ids, answer.scores, masks)


REFVOS = Task(
    "refvos",
    by_expression,
    answer_out,
    {
        "own": "univs.trackers.frame.referring:find_described",
        "official": "univs.trackers.clip.released:follow_described",
    },
    labels="expressions",
)
