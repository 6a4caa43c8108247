"""Names of a set whose list of classes is fixed, for things of the built-in world that it does not know."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from univs.formats.sample import VideoSample
from univs.vocabularies.vocabulary import plain_name


def borrow(names: Iterable[str], official: Mapping[int, str]) -> dict[str, int]:
    """Name -> official id: of the class of that name where there is one, else of some class.

    Two names may borrow one class, and the same name borrows the same class in every clip. What is borrowed is a
    label, not the truth: exports with borrowed classes test pipelines and teach no words.
    """
    by_name: dict[str, int] = {}
    for number, name in official.items():
        by_name.setdefault(plain_name(name).lower(), number)
    ids = sorted(official)
    result = {}
    for name in names:
        stranger = ids[sum(name.encode()) % len(ids)]
        result[name] = by_name.get(plain_name(name).lower(), stranger)
    return result


def borrow_segments(sample: VideoSample, official: Mapping[int, str], things: Collection[int]) -> dict[int, int]:
    """Object or segment of a clip -> official id: of a thing for a thing and of stuff for stuff (see `borrow`)."""
    found: dict[int, int] = {}
    for names, thing in ((sample.categories, True), (sample.stuff, False)):
        of_kind = {number: name for number, name in official.items() if (number in things) == thing}
        borrowed = borrow(names.values(), of_kind)
        found.update((number, borrowed[name]) for number, name in names.items())
    return found
