"""The tasks by name: what may be said, and what comes out. Who answers them, the model says (`VideoModel.trackers`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from univs.errors import UserError
from univs.prompts import Prompt
from univs.trackers.object_prompts import ObjectPrompt, by_expression, by_object, says_something

if TYPE_CHECKING:
    from univs.trackers.tracker import Offer


@dataclass(frozen=True)
class Task:
    """A question that can be put to a model.

    name: as on the command line. prompts_in: the prompts of one frame -> what is said about each object; raises
    UserError for prompts that the task cannot use. takes_categories: whether it looks for categories. finds: whether it
    looks for whatever there is. labels: what the label maps hold: object "masks", those of "expressions" that may
    overlap, a "semantic" map, or "panoptic" segments. trackers: way -> who answers, beside those that the model offers.
    """

    name: str
    prompts_in: Callable[[Sequence[Prompt]], dict[int, ObjectPrompt]]
    takes_categories: bool = False
    finds: bool = False
    labels: str = "masks"
    trackers: Mapping[str, Offer] = field(default_factory=dict)

    @property
    def needs_prompts(self) -> bool:
        """Whether there is nothing to do until an object is shown or described."""
        return not (self.takes_categories or self.finds)


def nothing_shown(prompts: Sequence[Prompt]) -> dict[int, ObjectPrompt]:
    """Categories say it all. UserError for prompts about single objects."""
    if prompts:
        raise UserError(f"a {type(prompts[0]).__name__} is about one object; this task takes categories alone")
    return {}


def shown_and_named(prompts: Sequence[Prompt]) -> dict[int, ObjectPrompt]:
    """Gather prompts by object; words are the name of a class. UserError for an object that is named and not shown."""
    objects = by_expression(prompts)
    for object_id, said in objects.items():
        if said.texts and not says_something(said):
            raise UserError(
                f"object {object_id} has the name {said.texts[-1]!r} but is not shown; give its mask, box, points or "
                "scribble on the same frame"
            )
    return objects


def nothing_said(prompts: Sequence[Prompt]) -> dict[int, ObjectPrompt]:
    """The task needs no words and no masks. UserError for prompts of any kind."""
    if prompts:
        kind = type(prompts[0]).__name__
        raise UserError(
            f"the task zero_shot finds objects by itself and takes no {kind}; the task vos follows what is shown"
        )
    return {}


VIS = Task("vis", nothing_shown, takes_categories=True)
"""Instances: everything of the categories asked for is found, told apart and followed; masks may overlap."""
VSS = Task("vss", nothing_shown, takes_categories=True, labels="semantic")
"""Every pixel is given a class of the categories asked for: its number, from 1 in their order."""
VPS = Task("vps", nothing_shown, takes_categories=True, labels="panoptic")
"""Every pixel is given to a thing that is followed, or to a class of stuff; segments have numbers."""
VOS = Task("vos", by_object)
"""Objects shown by points, boxes, masks or scribbles are followed."""
REFVOS = Task("refvos", by_expression, labels="expressions")
"""Expressions describe objects; masks may overlap, and in the label map the larger id wins."""
PVOS = Task("pvos", shown_and_named)
"""Things and stuff are shown on their first frame and followed together; words are the name of a class."""
ZERO_SHOT = Task("zero_shot", nothing_said, finds=True)
"""Objects of no category that anybody named are found and followed."""

TASKS: dict[str, Task] = {task.name: task for task in (VIS, VSS, VPS, VOS, REFVOS, PVOS, ZERO_SHOT)}
