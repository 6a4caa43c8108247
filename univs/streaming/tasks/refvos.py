"""Referring segmentation: expressions describe objects, and each is found and followed through the video."""

from __future__ import annotations

from univs.results import FrameResult
from univs.streaming.answer import Answer
from univs.streaming.official_rules import follow_described
from univs.streaming.prompting import by_expression
from univs.streaming.tasks.task import Task


def answer_out(answer: Answer) -> FrameResult:
    """A mask for each expression; they may overlap, and in the label map the later expression wins."""
    masks = answer.masks()
    return FrameResult(answer.frame_index, answer.labels(), answer.object_ids, answer.scores, masks)


REFVOS = Task("refvos", by_expression, answer_out, {"official": follow_described})
