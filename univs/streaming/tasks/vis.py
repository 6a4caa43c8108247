"""Video instance segmentation: everything of the categories asked for is found, told apart and followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from univs.errors import UserError
from univs.prompts import Prompt
from univs.results import FrameResult
from univs.streaming.tasks.task import Task
from univs.trackers.object_prompts import ObjectPrompt

if TYPE_CHECKING:
    from univs.trackers.answers import Answer


def nothing_shown(prompts: Sequence[Prompt]) -> dict[int, ObjectPrompt]:
    """Categories say it all. UserError for prompts about single objects."""
    if prompts:
        raise UserError(f"a {type(prompts[0]).__name__} is about one object; this task takes categories alone")
    return {}


def answer_out(answer: Answer) -> FrameResult:
    """A mask for each instance; they may overlap, and in the label map the better one wins."""
    from univs.trackers.clip.instances import EntityAnswer
    from univs.trackers.frame.instances import FoundAnswer

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


VIS = Task(
    "vis",
    nothing_shown,
    answer_out,
    {
        "own": "univs.trackers.frame.own_entities:find_and_follow",
        "official": "univs.trackers.clip.released:find_instances",
    },
    takes_categories=True,
)
