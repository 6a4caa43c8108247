"""Video instance segmentation: everything of the categories asked for is found, told apart and followed."""

from __future__ import annotations

from collections.abc import Sequence

from univs.errors import UserError
from univs.prompts import Prompt
from univs.results import FrameResult
from univs.streaming.answer import Answer
from univs.streaming.assemblies.instances import EntityAnswer
from univs.streaming.found_follower import FoundAnswer
from univs.streaming.official_entities import find_instances
from univs.streaming.own_entities import find_and_follow
from univs.streaming.prompting import ObjectPrompt
from univs.streaming.tasks.task import Task


def nothing_shown(prompts: Sequence[Prompt]) -> dict[int, ObjectPrompt]:
    """Categories say it all. UserError for prompts about single objects."""
    if prompts:
        raise UserError(f"a {type(prompts[0]).__name__} is about one object; this task takes categories alone")
    return {}


def answer_out(answer: Answer) -> FrameResult:
    """A mask for each instance; they may overlap, and in the label map the better one wins."""
    assert isinstance(answer, EntityAnswer | FoundAnswer)
    return FrameResult(
        answer.frame_index,
        answer.labels(),
        answer.object_ids,
        answer.scores,
        separate=answer.masks(),
        names=answer.names,
        track_scores=answer.track_scores,
    )


VIS = Task("vis", nothing_shown, answer_out, {"own": find_and_follow, "official": find_instances})
