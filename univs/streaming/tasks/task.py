"""What makes a task: data and two small functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from univs.errors import UserError
from univs.prompts import Prompt
from univs.results import FrameResult
from univs.streaming.answer import Answer
from univs.streaming.follower import Follower
from univs.streaming.prompting import ObjectPrompt


@dataclass(frozen=True)
class Task:
    """A question that can be put to the loop.

    name: as on the command line. prompts_in: the prompts of one frame -> what is said about each object; raises
    UserError for prompts that the task cannot use. answer_out: what the loop answered on a frame -> the user's result.
    followers: name of a set of rules -> who answers by them, made from a model, a Geometry and named options.
    apart: clips don't overlap, whatever the stride of the loop. labels: what the label maps hold: object "masks", those
    of "expressions" that may overlap, a "semantic" map, or "panoptic" segments.
    """

    name: str
    prompts_in: Callable[[Sequence[Prompt]], dict[int, ObjectPrompt]]
    answer_out: Callable[[Answer], FrameResult]
    followers: Mapping[str, Callable[..., Follower]]
    apart: bool = False
    labels: str = "masks"

    @property
    def takes_categories(self) -> bool:
        """Whether it looks for categories, and needs no prompts about objects."""
        return any("categories" in options_of(follower) for follower in self.followers.values())

    def follower(self, rules: str) -> Callable[..., Follower]:
        """Who answers by these rules. Raises UserError if the task does not know them."""
        if rules not in self.followers:
            known = ", ".join(sorted(self.followers))
            raise UserError(f"the task {self.name} has no rules {rules!r}; known: {known}")
        return self.followers[rules]


def options_of(follower: Callable[..., Any]) -> frozenset[str]:
    """Names of the options that a follower takes."""
    parameters = inspect.signature(follower).parameters.values()
    return frozenset(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)
