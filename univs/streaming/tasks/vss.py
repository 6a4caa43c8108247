"""Video semantic segmentation: every pixel is given a class of the categories asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from univs.results import FrameResult
from univs.streaming.tasks.task import Task
from univs.streaming.tasks.vis import nothing_shown

if TYPE_CHECKING:
    from univs.trackers.answers import Answer


def answer_out(answer: Answer) -> FrameResult:
    """One map of class numbers, from 1 in the order of the categories."""
    from univs.trackers.semantic import SemanticAnswer

    assert isinstance(answer, SemanticAnswer)
    return FrameResult(answer.frame_index, answer.labels(), answer.object_ids, answer.scores, names=answer.names)


VSS = Task(
    "vss",
    nothing_shown,
    answer_out,
    dict.fromkeys(("own", "official"), "univs.trackers.clip.released:label_pixels"),
    takes_categories=True,
    apart=True,
    labels="semantic",
)
