"""Video panoptic segmentation: every pixel is given to a thing that is followed, or to a class of stuff."""

from __future__ import annotations

from univs.results import FrameResult
from univs.streaming.answer import Answer
from univs.streaming.assemblies.panoptic import PanopticAnswer
from univs.streaming.official_entities import find_segments
from univs.streaming.own_entities import paint_everything
from univs.streaming.tasks.task import Task
from univs.streaming.tasks.vis import nothing_shown


def answer_out(answer: Answer) -> FrameResult:
    """One map of segment numbers, with the class of each."""
    assert isinstance(answer, PanopticAnswer)
    stuff = frozenset(number for number, segment in answer.infos.items() if not segment.is_thing)
    return FrameResult(
        answer.frame_index, answer.labels(), answer.object_ids, answer.scores, names=answer.names, stuff=stuff
    )


VPS = Task("vps", nothing_shown, answer_out, {"own": paint_everything, "official": find_segments}, labels="panoptic")
