"""Settings checked against the annotations of what takes them, in one line, before any work is done.

What a number may be stands beside its name, in the dataclass or function that reads it: `batch_size: Count`. `check`
compares plain values (of YAML, of a command line) with those annotations.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from inspect import Parameter, signature
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, TypeVar

from univs.errors import UserError

Made = TypeVar("Made")


@dataclass(frozen=True)
class Within:
    """A number from least to most; strictly above least where `above` says so. Infinity and NaN never are."""

    least: float = -math.inf
    most: float = math.inf
    above: bool = False

    @property
    def bound(self) -> str:
        """The lower end in words, for behind "a number"; empty if there is none."""
        if not math.isfinite(self.least):
            return ""
        return f" above {self.least:g}" if self.above else f" of at least {self.least:g}"

    def complaint(self, value: float) -> str | None:
        """What a number must be, if this one is not."""
        if not math.isfinite(value):
            return "a finite number"
        if value < self.least or (self.above and value == self.least):
            return f"{'above' if self.above else 'at least'} {self.least:g}"
        return f"at most {self.most:.10g}" if value > self.most else None


@dataclass(frozen=True)
class MultipleOf:
    """A whole number that another one divides."""

    divisor: int

    def complaint(self, value: int) -> str | None:
        """What a number must be, if this one is not."""
        return f"a multiple of {self.divisor}" if value % self.divisor else None


@dataclass(frozen=True)
class NotEmpty:
    """A text, list or dict with something in it."""

    def complaint(self, value: Any) -> str | None:
        """What a value must be, if this one is not."""
        return None if value else "given"


@dataclass(frozen=True)
class SomeAboveZero:
    """Shares of which at least one is not zero."""

    def complaint(self, value: Mapping[str, float]) -> str | None:
        """What the shares must be, if these are not."""
        return None if any(share > 0 for share in value.values()) else "above 0 in at least one entry"


@dataclass(frozen=True)
class Among:
    """Names and values of which no name is unknown."""

    names: tuple[str, ...]

    def complaint(self, value: Mapping[str, Any]) -> str | None:
        """What the names must be, if these are not."""
        return f"of {', '.join(self.names)} alone" if value.keys() - set(self.names) else None


@dataclass(frozen=True)
class Matches:
    """A text of a form."""

    pattern: str
    form: str

    def complaint(self, value: str) -> str | None:
        """What the text must be, if this one is not."""
        return None if re.fullmatch(self.pattern, value) else self.form


@dataclass(frozen=True)
class Is:
    """A word on what a setting is, for the message: `size is the short side in pixels and must be ...`."""

    what: str


LARGEST_SIDE = 8192
"""Of the short side at which frames are looked at, pixels: more takes more memory than machines have."""

Text = Annotated[str, NotEmpty()]
Count = Annotated[int, Within(1)]
CountFromZero = Annotated[int, Within(0)]
Positive = Annotated[float, Within(0, above=True)]
Weight = Annotated[float, Within(0)]
Share = Annotated[float, Within(0, 1)]
Seed = Annotated[int, Within(0, 2**32 - 1)]
Workers = Annotated[int, Is("the number of processes"), Within(0, 256)]
ShortSide = Annotated[int, Is("the short side in pixels"), Within(1, LARGEST_SIDE)]
ShortSideOrOwn = Annotated[int, Is("the short side in pixels, or 0 for the frame's own,"), Within(0, LARGEST_SIDE)]
Device = Annotated[str, Matches(r"auto|cpu|cuda(:\d{1,3})?", "auto, cpu, cuda or one GPU, such as cuda:1")]


class UnusedSetting(UserWarning):
    """A setting that is known, and of no use to what it was given to."""


@dataclass(frozen=True)
class Setting:
    """One name that something takes: its annotation, and whether it must be given."""

    kind: Any
    required: bool


def settings_of(taker: Any, leave_out: Sequence[str] = ()) -> dict[str, Setting]:
    """What a function, a class, a dataclass or a TypedDict takes by name, but for those left out."""
    if typing.is_typeddict(taker):
        kinds = typing.get_type_hints(taker, include_extras=True)
        found = {name: Setting(kind, name in taker.__required_keys__) for name, kind in kinds.items()}
    elif is_dataclass(taker):
        kinds = typing.get_type_hints(taker, include_extras=True)
        found = {
            field.name: Setting(kinds[field.name], field.default is MISSING and field.default_factory is MISSING)
            for field in fields(taker)
        }
    else:
        annotated = getattr(taker, "__init__") if isinstance(taker, type) else taker  # noqa: B009 (of a class)
        kinds = typing.get_type_hints(annotated, include_extras=True)
        found = {
            name: Setting(kinds.get(name, Any), parameter.default is Parameter.empty)
            for name, parameter in signature(taker).parameters.items()
            if parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        }
    return {name: setting for name, setting in found.items() if name not in leave_out}


def flat_settings(settings: Any) -> dict[str, Setting]:
    """The names in a settings dataclass, those in its parts among them: parts that share a name share its value."""
    found: dict[str, Setting] = {}
    for name, setting in settings_of(type(settings)).items():
        found.update(flat_settings(getattr(settings, name)) if is_dataclass(setting.kind) else {name: setting})
    return found


def flat_values(settings: Any) -> dict[str, Any]:
    """The value of each of these names."""
    values: dict[str, Any] = {}
    for name, setting in settings_of(type(settings)).items():
        value = getattr(settings, name)
        values.update(flat_values(value) if is_dataclass(setting.kind) else {name: value})
    return values


def with_values(settings: Made, values: Mapping[str, Any]) -> Made:
    """The same settings with other values under their flat names; names that it doesn't have change nothing."""
    changed: dict[str, Any] = {}
    for name, setting in settings_of(type(settings)).items():
        if is_dataclass(setting.kind):
            changed[name] = with_values(getattr(settings, name), values)
        elif name in values:
            changed[name] = values[name]
    return replace(settings, **changed)  # type: ignore[type-var]


def check(values: Any, known: Mapping[str, Setting], where: str = "") -> None:
    """Raise UserError, in one line, for an unknown, missing or impossible value. where: name of the whole, `stage`."""
    if not isinstance(values, Mapping):
        raise UserError(f"{where or 'the settings'} must be given as names and values, not {_shown(values)}")
    below = f"{where}." if where else ""
    for name in values:
        if name not in known:
            there = f"there is {below}{next(iter(known))}" if len(known) == 1 else f"there are {', '.join(known)}"
            raise UserError(f"unknown setting {below}{name}; {there}")
    for name, setting in known.items():
        if name in values:
            check_value(f"{below}{name}", values[name], setting.kind)
        elif setting.required:
            raise UserError(f"no value for {below}{name}; it must be {describe(setting.kind)}")


def make(taker: Callable[..., Made], values: Any, where: str = "") -> Made:
    """What a dataclass, class or function makes of checked values. Raises UserError as `check` does."""
    check(values, settings_of(taker), where)
    return taker(**values)


def check_value(name: str, value: Any, kind: Any) -> None:
    """Raise UserError unless a value is of the kind that an annotation says."""
    said = next((rule.what for rule in _rules(kind) if isinstance(rule, Is)), None)
    fault = _fault(name, value, kind)
    if fault is not None:
        raise UserError(f"{name} {f'is {said} and ' if said else ''}must be {fault}, not {_shown(value)}")


def _fault(name: str, value: Any, kind: Any) -> str | None:
    """What the value must be, if it is not; None if it is. Entries of lists and dicts raise under their own name."""
    whole, kind, rules = kind, _plain(kind), _rules(kind)
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(kind)
        if any(_matches(value, option) for option in options):
            chosen = next(option for option in options if _matches(value, option))
            return _fault(name, value, chosen)
        return describe(whole)
    if not _matches(value, kind):
        return describe(whole)
    if isinstance(value, Mapping):
        if typing.is_typeddict(kind) or is_dataclass(kind):
            check(value, settings_of(kind), name)
        elif args := typing.get_args(kind):
            for key, item in value.items():
                check_value(f"{name}.{key}", item, args[1])
    elif isinstance(value, (list, tuple)) and (args := typing.get_args(kind)):
        fixed = origin is tuple and Ellipsis not in args
        if fixed and len(value) != len(args):
            return describe(whole)
        for place, item in enumerate(value):
            check_value(f"{name}.{place}", item, args[place] if fixed else args[0])
    complaints = (rule.complaint(value) for rule in rules if not isinstance(rule, Is))
    return next((complaint for complaint in complaints if complaint), None)


def _matches(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind as far as its type goes."""
    kind = _plain(kind)
    origin = typing.get_origin(kind)
    if kind is Any:
        return True
    if kind is None or kind is type(None):
        return value is None
    if origin is typing.Literal:
        return any(value == option and type(value) is type(option) for option in typing.get_args(kind))
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    if kind in (str, Path):
        return isinstance(value, (str, kind))
    if typing.is_typeddict(kind):
        return isinstance(value, Mapping)
    if is_dataclass(kind) and isinstance(kind, type):
        return isinstance(value, (Mapping, kind))
    container = origin or kind
    if isinstance(container, type) and issubclass(container, Mapping):
        return isinstance(value, Mapping)
    if isinstance(container, type) and issubclass(container, Sequence):
        return isinstance(value, (list, tuple))
    # of things that no setting can say, only that it is not one of those
    return not isinstance(value, (str, Real, list, tuple, Mapping)) and value is not None


def describe(kind: Any) -> str:
    """A kind in words: "a whole number of at least 1", "true or false", "null or a text"."""
    rules, kind = _rules(kind), _plain(kind)
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        options = sorted(typing.get_args(kind), key=lambda option: option is not type(None))
        return " or ".join(dict.fromkeys(describe(option) for option in options))
    if origin is typing.Literal:
        return " or ".join(map(str, typing.get_args(kind)))
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}
    if kind in plain:
        bound = next((rule.bound for rule in rules if isinstance(rule, Within)), "")
        return plain[kind] + bound
    if kind is None or kind is type(None):
        return "null"
    if typing.is_typeddict(kind) or is_dataclass(kind):
        return "names and values"
    container = origin or kind
    if isinstance(container, type) and issubclass(container, Mapping):
        return "names and values"
    if isinstance(container, type) and not issubclass(container, Sequence):
        return f"a {container.__name__}"
    if origin is tuple and Ellipsis not in typing.get_args(kind):
        args = typing.get_args(kind)
        return f"a list of {len(args)} ({describe(args[0])} each)"
    return "a list"


def _plain(kind: Any) -> Any:
    """An annotation without what `Annotated` adds."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind


def _rules(kind: Any) -> tuple[Any, ...]:
    """What `Annotated` adds to an annotation, that of the options of a union included for the words in it."""
    if typing.get_origin(kind) is Annotated:
        return typing.get_args(kind)[1:]
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return tuple(rule for option in typing.get_args(kind) for rule in _rules(option) if isinstance(rule, Is))
    return ()


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value) if value != "" else "empty text"
    return text if len(text) <= 60 else f"{text[:57]}..."
