"""The classes of SynthVS as the JSON of a set lists its categories."""

from __future__ import annotations

from functools import cache

from univs.errors import UserError
from univs.formats.sample import VideoSample
from univs.vocabularies import vocabulary


@cache
def class_ids(first: int = 1) -> dict[str, int]:
    """Name -> id, from `first` on: things, then stuff."""
    return {name: number for number, name in enumerate(vocabulary("synth").names, first)}


def thing_ids() -> dict[str, int]:
    """Name -> id, from 1 on, of the things alone."""
    words = vocabulary("synth")
    return {words.names[place]: 1 + place for place in sorted(words.things or ())}


def class_of(sample: VideoSample, number: int, first: int = 1) -> int:
    """The id of the class of an object or segment. Raises UserError if it has no name, or one that is not listed."""
    name = sample.categories.get(number) or sample.stuff.get(number)
    if name not in class_ids(first):
        raise UserError(f"{sample.name}: object {number} is {name or 'without a name'}; expected a class of SynthVS")
    return class_ids(first)[name]
