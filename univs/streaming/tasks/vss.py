"""Video semantic segmentation: every pixel is given a class of the categories asked for."""

from __future__ import annotations

from univs.results import FrameResult
from univs.streaming.answer import Answer
from univs.streaming.official_entities import label_pixels
from univs.streaming.semantic_follower import SemanticAnswer
from univs.streaming.tasks.task import Task
from univs.streaming.tasks.vis import nothing_shown


def answer_out(answer: Answer) -> FrameResult:
    """One map of class numbers, from 1 in the order of the categories."""
    assert isinstance(answer, SemanticAnswer)
    return FrameResult(answer.frame_index, answer.labels(), answer.object_ids, answer.scores, names=answer.names)


VSS = Task(
    "vss", nothing_shown, answer_out, {"own": label_pixels, "official": label_pixels}, apart=True, labels="semantic"
)
