"""What makes a task: data and two small functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from univs.errors import UserError
from univs.prompts import Prompt
from univs.results import FrameResult
from univs.trackers.object_prompts import ObjectPrompt

if TYPE_CHECKING:
    from univs.trackers.answers import Answer
    from univs.trackers.tracker import Tracker


@dataclass(frozen=True)
class Task:
    """A question that can be put to the loop.

    name: as on the command line. prompts_in: the prompts of one frame -> what is said about each object; raises
    UserError for prompts that the task cannot use. answer_out: what the loop answered on a frame -> the user's result.
    followers: name of a set of rules -> who answers by them, made from a model, a Geometry and named options, or where
    that is to be found ("module:name"), so that a question can be checked without importing networks. takes_categories:
    whether it looks for categories, and needs no prompts about objects. apart: clips don't overlap, whatever the stride
    of the loop. labels: what the label maps hold: object "masks", those of "expressions" that may overlap, a "semantic"
    map, or "panoptic" segments.
    """

    name: str
    prompts_in: Callable[[Sequence[Prompt]], dict[int, ObjectPrompt]]
    answer_out: Callable[[Answer], FrameResult]
    followers: Mapping[str, Callable[..., Tracker] | str]
    takes_categories: bool = False
    apart: bool = False
    labels: str = "masks"

    def follower(self, rules: str) -> Callable[..., Tracker]:
        """Who answers by these rules. Raises UserError if the task does not know them."""
        if rules not in self.followers:
            known = ", ".join(sorted(self.followers))
            raise UserError(f"the task {self.name} has no rules {rules!r}; known: {known}")
        follower = self.followers[rules]
        if not isinstance(follower, str):
            return follower
        module, _, name = follower.partition(":")
        return getattr(import_module(module), name)


def options_of(follower: Callable[..., Any]) -> frozenset[str]:
    """Names of the options that a follower takes."""
    parameters = inspect.signature(follower).parameters.values()
    return frozenset(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)
