"""Which tracker answers a task, and with which settings: the model's own numbers, and what a person says instead."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from univs.errors import UserError
from univs.settings import Count, Setting, UnusedSetting, check_value, flat_settings, flat_values, with_values
from univs.streaming.loop import ClipSchedule
from univs.streaming.tasks import Task
from univs.trackers.tracker import Offer, Question, Tracker, VideoModel, found

LOOP_OPTIONS = {
    "way": Setting(str | None, False),
    "short_side": Setting(int, False),
    "square_padding": Setting(Count | None, False),
}
"""What a session reads itself; everything else are settings of the tracker."""


@dataclass(frozen=True)
class TrackerChoice:
    """Who answers.

    maker: makes the tracker of a model, a question and the settings. short_side: at which the model was made to look at
    frames, 0: their own. square_padding: side of the square to which smaller frames are padded, if any.
    """

    maker: Any
    settings: Any
    short_side: int
    square_padding: int | None

    def tracker(self, model: VideoModel, question: Question) -> Tracker:
        """A tracker for one video."""
        made: Tracker = self.maker(model, question, self.settings)
        return made

    def schedule(self) -> ClipSchedule:
        """The clips that the tracker wants (`Clips`). Raises UserError for impossible ones."""
        values = flat_values(self.settings)
        length = values.get("clip_length", 1)
        return ClipSchedule(length, values.get("clip_stride", length))


def choose_tracker(model: VideoModel, task: Task, options: Mapping[str, Any]) -> TrackerChoice:
    """The tracker of a task that goes the way asked for, or else the model's own.

    Args:
        options: names and values, which count before the model's numbers.
    Raises UserError for a task or way that the model doesn't offer, for names that none of its trackers has, and for
    impossible values; warns of names that only other trackers have.
    """
    brought, offered = model.streaming, model.trackers()
    check_value("the option way", options.get("way"), str | None)
    offers = {**offered.get(task.name, {}), **task.trackers}
    maker, settings = _offer(offers, options.get("way", brought.get("way")), task.name)
    defaults = _settings(settings)
    known = {**flat_settings(defaults), **LOOP_OPTIONS}
    foreign = [name for name in {**brought, **options} if name not in known]
    if foreign:  # only then: it imports whatever the model offers
        others = {
            name: kind for pairs in offered.values() for _, other in pairs.values() for name, kind in _names(other)
        }
        for name in foreign:
            if name not in others:
                raise UserError(f"unknown option {name!r}; known: {', '.join(sorted(known))}")
        unused = [name for name in foreign if name in options]
        for name in unused:
            check_value(f"the option {name}", options[name], others[name].kind)
        if unused:
            message = f"the task {task.name} leaves unused: {', '.join(unused)} (it has {', '.join(sorted(known))})"
            warnings.warn(UnusedSetting(message), stacklevel=3)
    numbers = {**brought, **options}
    for name, setting in known.items():
        if name in numbers:
            check_value(f"the option {name}", numbers[name], setting.kind)
    return TrackerChoice(
        found(maker), with_values(defaults, numbers), numbers.get("short_side", 0), numbers.get("square_padding")
    )


def _offer(offers: Mapping[str, Offer], way: str | None, task: str) -> Offer:
    """The offer of a way of following; None: the first."""
    if not offers:
        raise UserError(f"this model has no tracker for the task {task}")
    if way is None:
        return next(iter(offers.values()))
    if way not in offers:
        raise UserError(f"the task {task} has no way {way!r}; known: {', '.join(sorted(offers))}")
    return offers[way]


def _settings(offered: Any) -> Any:
    settings = found(offered)
    return settings() if isinstance(settings, type) else settings


def _names(offered: Any) -> Iterable[tuple[str, Setting]]:
    return flat_settings(_settings(offered)).items()
