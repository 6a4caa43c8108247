"""Settings as a person types them, made safe for Hydra: `data.root=~/Größe (1)/a,b`, `data.sources=[{root: c}]`.

Hydra's grammar knows few characters. Whatever is text here stands aside under a name that the grammar takes, and comes
back when everything is composed: paths are taken as they are typed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from univs.errors import UserError
from univs.files import from_home

PATHS = frozenset(
    ("out", "init", "weights", "segmenter", "fusion", "stage.propagation", "stage.text_weights", "stage.class_table")
)
"""Settings that are paths, or names in place of one."""
DATA = frozenset(("data", "people"))
"""What says where the data lie."""
DATA_PATHS = frozenset(("root", "list", "images", "labels", "photos", "image_set", "expressions", "file"))
"""Entries below `DATA` that are paths."""
NAME_FILES = frozenset(("exclude", "only"))
"""Entries below `DATA` that are a list of names, or the path of a file of them."""
NAMES = frozenset(("exclude", "only", "folders", "sequences", "category"))
"""Entries that are names or lists of them: text even where they look like numbers."""
_OVERRIDE = re.compile(r"(?P<sign>\+{0,2})(?P<key>[A-Za-z_][\w./@:]*)=(?P<value>.*)", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9_.+/-]*|\?\?\?|\$\{[\w.]+\}", re.ASCII)
"""What Hydra reads as it is meant: numbers, words, null, the mark of what must be given, a reference."""
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_ENTRY = re.compile(r"\s*([A-Za-z_]\w*)\s*:")
_CLOSING = {"[": "]", "{": "}"}


class TypedTexts:
    """Texts that stand aside while Hydra composes."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def hide(self, text: str) -> str:
        """A name for a text."""
        name = f"univs_text_{len(self._texts)}_"
        self._texts[name] = text
        return name

    def shown(self, text: str) -> str:
        """A message in which the texts have taken the place of their names."""
        for name, typed in self._texts.items():
            text = text.replace(name, typed)
        return text

    def put_back(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Composed settings with the texts in their places; `${model.name}` in a text is the value of that setting."""

        def value_of(match: re.Match[str]) -> str:
            found: Any = settings
            for part in match[1].split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
            return match[0] if found is None or isinstance(found, (Mapping, list)) else self.shown(str(found))

        def back(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {str(key): back(item) for key, item in value.items()}
            if isinstance(value, list):
                return [back(item) for item in value]
            if not isinstance(value, str) or not any(name in value for name in self._texts):
                return value
            for name, typed in self._texts.items():
                if name in value:
                    value = value.replace(name, _REFERENCE.sub(value_of, typed))
            return value

        restored = back(settings)
        assert isinstance(restored, dict)
        return restored


def for_hydra(override: str, texts: TypedTexts) -> str:
    """An override that Hydra can read, its texts hidden. Raises UserError for what is not KEY=VALUE."""
    if re.fullmatch(r"~[A-Za-z_][\w.]*", override):  # leaves a setting out
        return override
    match = _OVERRIDE.fullmatch(override)
    if match is None:
        raise UserError(f"{override!r} is not of the form KEY=VALUE")
    key, value = match["key"], match["value"]
    return f"{match['sign']}{key}={_Reader(key, value, texts).whole()}"


def is_path(key: str) -> bool:
    """Whether a setting, named with dots from the top, is a path: taken as it is typed, brackets and all."""
    first, *rest = key.split(".")
    return key in PATHS or (first in DATA and bool(rest) and (rest[-1] in DATA_PATHS or rest[0] == "roots"))


class _Reader:
    """One value, read from the left; lists and dicts as Hydra writes them, with any text inside."""

    def __init__(self, key: str, value: str, texts: TypedTexts) -> None:
        self._key, self._value, self._texts, self._at = key, value, texts, 0

    def whole(self) -> str:
        """The value for Hydra."""
        if not is_path(self._key) and self._value[:1] in _CLOSING:
            value = self._container(self._key)
            if self._value[self._at :].strip():
                raise self._wrong(f"there is more behind the last {self._value[self._at - 1]}")
            return value
        return self._scalar(self._key, self._value)

    def _scalar(self, key: str, text: str) -> str:
        text = text.strip() if key != self._key else text
        if text.lower() == "null":
            return "null"
        if _QUOTED.fullmatch(text):
            return self._texts.hide(text[1:-1].replace(f"\\{text[0]}", text[0]))
        literal = is_path(key) or key.rpartition(".")[2] in NAMES
        return self._texts.hide(text) if text and (literal or not _PLAIN.fullmatch(text)) else text

    def _container(self, key: str) -> str:
        """The list or dict that begins here."""
        opening = self._value[self._at]
        self._at += 1
        items: list[str] = []
        while True:
            self._skip_spaces()
            if self._next() == _CLOSING[opening]:
                self._at += 1
                return opening + ",".join(items) + _CLOSING[opening]
            inner = key
            if opening == "{":
                entry = _ENTRY.match(self._value, self._at)
                if entry is None:
                    raise self._wrong(f"expected NAME: VALUE at {self._value[self._at :][:20]!r}")
                self._at = entry.end()
                inner = f"{key}.{entry[1]}"
            value = self._item(inner, opening)
            items.append(f"{entry[1]}:{value}" if opening == "{" and entry else value)
            if self._next() == ",":
                self._at += 1

    def _item(self, key: str, opening: str) -> str:
        """The value that begins here, up to the comma or bracket that ends it."""
        self._skip_spaces()
        if self._next() in _CLOSING and not is_path(key):
            value = self._container(key)
            self._skip_spaces()
            if self._next() not in (",", _CLOSING[opening]):
                raise self._wrong(f"expected , or {_CLOSING[opening]} at {self._value[self._at :][:20]!r}")
            return value
        start, open_inside = self._at, 0
        quoted = _QUOTED.match(self._value, self._at)
        if quoted and re.match(r"\s*[,\]}]", self._value[quoted.end() :]):
            self._at = quoted.end()
            self._skip_spaces()
        while not self._ends(opening, open_inside):
            open_inside += (self._next() in "[{") - (self._next() in "]}")
            self._at += 1
        return self._scalar(key, self._value[start : self._at])

    def _ends(self, opening: str, open_inside: int) -> bool:
        """Whether a text ends here. In a dict, a comma without an entry behind it belongs to the text."""
        if open_inside:
            return False
        if self._next() == ",":
            rest = self._at + 1
            return opening == "[" or bool(_ENTRY.match(self._value, rest) or re.match(r"\s*\}", self._value[rest:]))
        return self._next() == _CLOSING[opening]

    def _skip_spaces(self) -> None:
        while self._at < len(self._value) and self._value[self._at].isspace():
            self._at += 1

    def _next(self) -> str:
        if self._at >= len(self._value):
            raise self._wrong("a bracket is not closed")
        return self._value[self._at]

    def _wrong(self, what: str) -> UserError:
        return UserError(
            f"{self._key}={self._value}: {what}; expected [A, B] or [{{NAME: VALUE, ...}}], and quotes around text "
            "that holds brackets or commas"
        )


def at_home(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with `~` at the start of a path as the home folder; text that is no path stays as it is."""

    def expanded(key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: expanded(f"{key}.{name}", item) for name, item in value.items()}
        if isinstance(value, list):
            return [expanded(f"{key}.{place}", item) for place, item in enumerate(value)]
        first, last = key.partition(".")[0], key.rpartition(".")[2]
        path = is_path(key) or (first in DATA and last in NAME_FILES)
        return str(from_home(value)) if path and isinstance(value, str) and value.startswith("~") else value

    return {key: expanded(key, value) for key, value in settings.items()}
