"""The classes of a set as they are asked for, and the official ids that answers are written with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from univs.errors import UserError
from univs.formats.recording import RecordingSet
from univs.prompts import Categories
from univs.vocabularies import plain_name


@dataclass(frozen=True)
class ClassNames:
    """The classes of a set as they are asked for: plain names, and the official id of each.

    Where two classes have one plain name, both keep the name that the set gives them.
    """

    ids: Mapping[str, int]
    categories: Categories = field(compare=False)

    @classmethod
    def of(cls, data: RecordingSet) -> ClassNames:
        """The classes of a set. Raises UserError if it has none."""
        if not data.classes:
            raise UserError(f"{data.name} in {data.root} names no classes, so none can be asked for")
        plain = {number: plain_name(name) for number, name in data.classes.items()}
        shared = {name for name in plain.values() if list(plain.values()).count(name) > 1}
        names = {
            number: " ".join(data.classes[number].replace("_", " ").split()) if name in shared else name
            for number, name in plain.items()
        }
        things = frozenset(place for place, number in enumerate(names) if number in data.things)
        stuff = bool(data.things) and len(things) < len(names)
        return cls(
            {name: number for number, name in names.items()},
            Categories(tuple(names.values()), things if stuff else None),
        )

    def id_of(self, name: str, whose: str) -> int:
        """The official id of a name that was answered. UserError if it was never asked for."""
        if name not in self.ids:
            raise UserError(f"{whose} was answered as {name!r}, which is none of the classes that were asked for")
        return self.ids[name]
