"""Video panoptic object segmentation: things and stuff are shown by masks on their first frame and followed together.

Words said about an object are the name of its class. By the official rules stuff is also found by its class.
"""

from __future__ import annotations

from collections.abc import Sequence

from univs.errors import UserError
from univs.prompts import Prompt
from univs.streaming.tasks.task import Task
from univs.streaming.tasks.vos import answer_out
from univs.trackers.object_prompts import ObjectPrompt, by_expression, says_something


def shown_and_named(prompts: Sequence[Prompt]) -> dict[int, ObjectPrompt]:
    """Gather prompts by object. UserError for an object that is named and not shown."""
    objects = by_expression(prompts)
    for object_id, said in objects.items():
        if said.texts and not says_something(said):
            raise UserError(
                f"object {object_id} has the name {said.texts[-1]!r} but is not shown; give its mask, box, points or "
                "scribble on the same frame"
            )
    return objects


PVOS = Task(
    "pvos",
    shown_and_named,
    answer_out,
    {"own": "univs.trackers.frame.tracker:FrameTracker", "official": "univs.trackers.clip.released:follow_named"},
)
