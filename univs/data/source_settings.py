"""Sources of training data as plain settings: a kind, a weight, and the arguments of the reader of that kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from univs.errors import UserError
from univs.settings import Count, Text, Weight, check, settings_of

Supervision = Literal["masks", "boxes"]
"""What of the objects of a source is known in training."""


@dataclass(frozen=True)
class Reader:
    """What opens a source.

    opens: takes the arguments. checked: whose annotations say what they may be; None: those of `opens`. gaps: whether
    the source may hold videos, which are stepped through. several: whether it gives several sources, each with its
    settings, as a pack does: a list of `OpenedSource`. by_box: opens the same source without its masks, where boxes are
    all that is wanted; None: `opens` does. boxes_alone: there are no masks.
    """

    opens: Callable[..., Any]
    checked: Any = None
    gaps: bool = False
    several: bool = False
    by_box: Callable[..., Any] | None = None
    boxes_alone: bool = False


@dataclass(frozen=True)
class SourceSettings:
    """What a source has beside the arguments of its reader."""

    kind: Text
    weight: Weight = 1.0
    """How often it is drawn from, among those of its sort."""
    gaps: tuple[Count, Count] = (1, 2)
    """Stored frames from one clip frame to the next, smallest and largest."""
    supervision: Supervision | None = None
    """None: that of the run, or boxes where the source has no masks."""


@dataclass(frozen=True)
class SourceCount:
    """How much an opened source holds.

    name: its kind and where it lies. sort: photo or video. count: of photos or videos. weight: among its sort.
    """

    name: str
    sort: str
    count: int
    weight: float


class OpenedSource(NamedTuple):
    """What a reader made of a source, its settings, and a name for people: its kind and where it lies."""

    settings: SourceSettings
    source: Any
    name: str

    def counted(self, sort: str) -> SourceCount:
        """How much there is in it; sort: photo or video."""
        number = len(self.source)
        return SourceCount(self.name, sort, number, self.settings.weight if number else 0.0)


def open_source(
    source: Any, where: str, readers: Mapping[str, Reader], supervision: Supervision | None = None
) -> tuple[SourceSettings, Any]:
    """The settings of a source and what its reader makes of the others.

    where: its name in the settings, `data.sources.0`. supervision: of the run; None: it knows masks alone. Raises
    UserError for an unknown kind or argument, a wrong value, and whatever the reader refuses.
    """
    own = settings_of(SourceSettings)
    given = source if isinstance(source, Mapping) else {}
    check({name: given[name] for name in given if name in own} if given else source, own, where)
    settings = SourceSettings(**{name: given[name] for name in given if name in own})
    reader = readers.get(settings.kind)
    if reader is None:
        raise UserError(f"{where} is of unknown kind {settings.kind!r}; there are {', '.join(readers)}")
    if "gaps" in given and not reader.gaps:
        raise UserError(f"{where}.gaps are for videos, not for the kind {settings.kind}")
    low, high = settings.gaps
    if low > high:
        raise UserError(f"{where}.gaps are the smallest and the largest step, not {low} and {high}")
    options = {name: given[name] for name in given if name not in own}
    check(options, settings_of(reader.checked or reader.opens), where)
    if reader.boxes_alone and settings.supervision == "masks":
        raise UserError(f"{where}.supervision=masks: the kind {settings.kind} has boxes alone")
    chosen = "boxes" if reader.boxes_alone else settings.supervision or supervision
    if chosen == "boxes" and supervision is None:
        raise UserError(f"{where}: boxes are for the stages image, clip and long; this takes sources with masks")
    settings = replace(settings, supervision=chosen)
    opens = reader.by_box if chosen == "boxes" and reader.by_box is not None else reader.opens
    return settings, opens(**options)


def open_sources(
    sources: Sequence[Mapping[str, Any]],
    readers: Mapping[str, Reader],
    supervision: Supervision | None = None,
    where: Sequence[str] | None = None,
) -> list[OpenedSource]:
    """The sources of a list.

    supervision: of the run, None where it knows masks alone. where: names in the settings; None: `data.sources.0`, ...

    Those that a pack holds stand in its place, each with its own weight times that of the pack. Raises UserError as
    `open_source` does.
    """
    opened: list[OpenedSource] = []
    for source, place in zip(sources, where or [f"data.sources.{n}" for n in range(len(sources))], strict=True):
        own, found = open_source(source, place, readers, supervision)
        if readers[own.kind].several:
            opened += [one._replace(settings=_within(one.settings, own)) for one in found]
        else:
            root = next((str(source[key]) for key in ("root", "images", "name") if source.get(key)), "")
            opened.append(OpenedSource(own, found, f"{own.kind} {root}".strip()))
    return opened


def _within(settings: SourceSettings, pack: SourceSettings) -> SourceSettings:
    """The settings of a source in a pack, with so many times the weight and the supervision of the pack."""
    return replace(settings, weight=settings.weight * pack.weight, supervision=pack.supervision)
