"""What makes a task: data and two small functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from univs.prompts import Prompt
from univs.results import FrameResult
from univs.streaming.engine import Answer
from univs.streaming.prompting import ObjectPrompt


@dataclass(frozen=True)
class Task:
    """A question that can be put to the loop.

    name: as on the command line. prompts_in: the prompts of one frame -> what is said about each object; raises
    UserError for prompts that the task cannot use. answer_out: what the loop answered on a frame -> the user's result.
    """

    name: str
    prompts_in: Callable[[Sequence[Prompt]], dict[int, ObjectPrompt]]
    answer_out: Callable[[Answer], FrameResult]
