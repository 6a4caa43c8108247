"""Referring segmentation: expressions describe objects, and each is found and followed through the video."""

from __future__ import annotations

from univs.results import FrameResult
from univs.streaming.answer import Answer, painted
from univs.streaming.official_rules import follow_described
from univs.streaming.own_rules import find_described
from univs.streaming.prompting import by_expression
from univs.streaming.tasks.task import Task


def answer_out(answer: Answer) -> FrameResult:
    """A mask for each expression; they may overlap, and in the label map the later expression wins."""
    masks = answer.masks()
    object_ids = tuple(sorted(masks))
    return FrameResult(answer.frame_index, painted(masks, answer.geometry), object_ids, answer.scores, masks)


REFVOS = Task(
    "refvos", by_expression, answer_out, {"own": find_described, "official": follow_described}, labels="expressions"
)
