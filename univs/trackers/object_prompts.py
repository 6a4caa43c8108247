"""What is said on one frame, object by object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.prompts import Box, Mask, Points, Prompt, Scribble, Text


@dataclass
class ObjectPrompt:
    """Everything that is said about one object on one frame: it counts as one prompt."""

    points: list[Points] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    masks: list[Mask] = field(default_factory=list)
    scribbles: list[Scribble] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def says_something(prompt: ObjectPrompt) -> bool:
    """Whether anything visual is said."""
    return bool(prompt.points or prompt.boxes or prompt.masks or prompt.scribbles)


def is_ambiguous(prompt: ObjectPrompt) -> bool:
    """Whether a part, a thing or a group may be meant: one click or one box says it all (Kirillov et al., 2023)."""
    clicks = sum(len(points.xy) for points in prompt.points)
    return not prompt.scribbles and clicks + len(prompt.boxes) == 1


def by_object(prompts: Sequence[Prompt]) -> dict[int, ObjectPrompt]:
    """Gather visual prompts by object, in the order in which the objects first come. UserError for any other kind."""
    for prompt in prompts:
        if not isinstance(prompt, Points | Box | Mask | Scribble):
            raise UserError(
                f"a {type(prompt).__name__} is not a visual prompt; give points, a box, a mask or a scribble"
            )
    return gathered(prompts)


def by_expression(prompts: Sequence[Prompt]) -> dict[int, ObjectPrompt]:
    """Gather prompts by object, expressions among them. UserError for an expression without an id."""
    for prompt in prompts:
        if not isinstance(prompt, Points | Box | Mask | Scribble | Text):
            raise UserError(f"a {type(prompt).__name__} does not describe an object; give an expression")
    return gathered(prompts)


def gathered(prompts: Sequence[Prompt]) -> dict[int, ObjectPrompt]:
    """Object id -> what is said about it, in the order in which the objects first come."""
    objects: dict[int, ObjectPrompt] = {}
    for prompt in prompts:
        assert prompt.object_id is not None
        said = objects.setdefault(int(prompt.object_id), ObjectPrompt())
        match prompt:
            case Points():
                said.points.append(prompt)
            case Box():
                said.boxes.append(prompt)
            case Mask():
                said.masks.append(prompt)
            case Scribble():
                said.scribbles.append(prompt)
            case Text():
                said.texts.append(prompt.text)
    return objects


def shown_masks(prompts: Mapping[int, ObjectPrompt], who: str) -> dict[int, NDArray[np.bool_]]:
    """Object id -> H W union of the masks that show it.

    Raises UserError for prompts of another kind, which says `who` takes masks alone.
    """
    for object_id, said in prompts.items():
        if said.points or said.boxes or said.scribbles or said.texts or not said.masks:
            raise UserError(
                f"object {object_id} is not shown by a mask, and {who} takes nothing else: give a mask, "
                "or make one of clicks, boxes or scribbles with another model first"
            )
    return {object_id: np.logical_or.reduce([m.mask for m in said.masks]) for object_id, said in prompts.items()}
