"""What is said on one frame, object by object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.prompts import Box, Mask, Points, Prompt, Scribble, Text

DOTS = 3
"""Clicks that stand for a stroke: strokes through the whole of an object are clicks on all of its parts."""
MOST_DOTS = 32
"""Clicks that stand for all strokes of an object on a frame, at most."""


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


def clicks_on_it(prompt: ObjectPrompt) -> list[tuple[float, float]]:
    """(x, y) of the clicks that lie on the object, in pixels of the frame."""
    return [xy for points in prompt.points for xy, plus in zip(points.xy, points.labels, strict=True) if plus]


def is_ambiguous(prompt: ObjectPrompt) -> bool:
    """Whether a part, a thing or a group may be meant: one click or one box says it all (Kirillov et al., 2023)."""
    clicks = sum(len(points.xy) for points in prompt.points)
    return not prompt.scribbles and clicks + len(prompt.boxes) == 1


def dots_along(xy: NDArray[np.floating], count: int = DOTS) -> NDArray[np.float64]:
    """Places at even distances along a stroke P 2, none of them its end; its one place if it has no length: D 2."""
    lengths = np.concatenate([[0.0], np.hypot(*np.diff(xy, axis=0).T).cumsum()])
    if lengths[-1] == 0:
        return np.asarray(xy[:1], float)
    at = np.linspace(0, lengths[-1], count + 2)[1:-1]
    return np.stack([np.interp(at, lengths, xy[:, 0]), np.interp(at, lengths, xy[:, 1])], 1)


def strokes_as_clicks(prompt: ObjectPrompt, height: int, width: int) -> ObjectPrompt:
    """The same with clicks along the strokes in their place, in pixels of a frame of that size.

    `DOTS` for each stroke; of all of them at most `MOST_DOTS`, evenly chosen in the order in which they were drawn.
    """
    strokes = [stroke for scribble in prompt.scribbles for stroke in scribble.strokes]
    if not strokes:
        return prompt
    last = np.array([width - 1, height - 1])
    places = np.concatenate([dots_along(np.array(stroke, float)) for stroke in strokes]) * last + 0.5
    if len(places) > MOST_DOTS:
        places = places[np.linspace(0, len(places) - 1, MOST_DOTS).round().astype(int)]
    object_id = prompt.scribbles[0].object_id
    clicks = Points(object_id, [(x, y) for x, y in places.tolist()], [True] * len(places))
    return replace(prompt, points=[*prompt.points, clicks], scribbles=[])


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
