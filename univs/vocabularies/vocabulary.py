"""Vocabularies by name, and what a person writes for categories: free words or the name of a vocabulary."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from univs.errors import UserError

FILE = Path(__file__).with_name("benchmarks.json")


@dataclass(frozen=True)
class Vocabulary:
    """K category names."""

    name: str
    names: tuple[str, ...]
    """As the benchmark writes them, in the order of its ids; see `plain_name`."""
    things: frozenset[int] | None = None
    """Places of the countable things among the names, the others being stuff; None where nobody said."""


def vocabulary(name: str) -> Vocabulary:
    """The vocabulary of a benchmark. Raises UserError, with the nearest names, if there is none of that name."""
    content = _content()
    whole, count = content["parts"].get(name, (name, None))
    if whole not in content["sets"]:
        raise UserError(f"unknown vocabulary {name!r}; {_nearest(name)}")
    entry = content["sets"][whole]
    names, things = entry["names"][:count], entry.get("things")
    return Vocabulary(
        name, tuple(names), None if things is None else frozenset(place for place in things if place < len(names))
    )


def known() -> tuple[str, ...]:
    """Names of all vocabularies, in alphabetical order."""
    content = _content()
    return tuple(sorted({*content["sets"], *content["parts"]}))


def parse(text: str) -> Vocabulary:
    """What was written for categories: the name of a vocabulary, or names separated by commas ("dog, red car").

    Free names are one vocabulary called "free"; a name said twice counts once. Raises UserError if there is no name,
    and for one word that is nearly the name of a vocabulary (write a comma behind it if it is meant as it stands).
    """
    names = tuple(dict.fromkeys(name for name in (part.strip() for part in text.split(",")) if name))
    if not names:
        raise UserError(f"no category in {text!r}; give names separated by commas or one of {', '.join(known())}")
    if len(names) == 1 and "," not in text:
        word = names[0]
        if word in known():
            return vocabulary(word)
        if difflib.get_close_matches(word.lower(), known(), n=1, cutoff=0.75):
            raise UserError(f"unknown vocabulary {word!r}; {_nearest(word)}; for a category of that name: '{word},'")
    return Vocabulary("free", names)


def plain_name(name: str) -> str:
    """A category as a person would say it: "sky-other-merged" -> "sky", "traffic_light" -> "traffic light".

    Definitions (LVIS) and all synonyms but the first (ImageNet) go; what is in brackets tells names apart: it stays.
    """
    name = re.split(r"\s*[:,]\s", name)[0].replace("_", " ")
    name = re.sub(r"-(other|merged|stuff)\b", "", name)
    return re.sub(r"\s+", " ", name).strip()


@cache
def _content() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), known(), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known())}"
