"""Video panoptic segmentation: every pixel is given to a thing that is followed, or to a class of stuff."""

from __future__ import annotations

from typing import TYPE_CHECKING

from univs.results import FrameResult
from univs.streaming.tasks.task import Task
from univs.streaming.tasks.vis import nothing_shown

if TYPE_CHECKING:
    from univs.trackers.answers import Answer


def answer_out(answer: Answer) -> FrameResult:
    """One map of segment numbers, with the class of each."""
    from univs.trackers.answers import PanopticAnswer

    assert isinstance(answer, PanopticAnswer)
    stuff = frozenset(number for number, segment in answer.infos.items() if not segment.is_thing)
    return FrameResult(
        answer.frame_index, answer.labels(), answer.object_ids, answer.scores, names=answer.names, stuff=stuff
    )


VPS = Task(
    "vps",
    nothing_shown,
    answer_out,
    {
        "own": "univs.trackers.frame.own_entities:paint_everything",
        "official": "univs.trackers.clip.released:find_segments",
    },
    takes_categories=True,
    labels="panoptic",
)
