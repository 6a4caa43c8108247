"""Referring expressions: what is true of one thing of a clip and of no other one.

Every word or phrase says of each thing that it holds, that it does not, or nothing where that is open to doubt (a thing
in the middle is neither surely on the left nor surely not). An expression refers to a thing if all its parts hold for
it, and for every other thing at least one part surely does not. Things are bits of whole numbers here: bit n is row n
of the `Facts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from univs.data.synth import phrases
from univs.data.synth.colours import NAMES, is_coloured, shares
from univs.data.synth.facts import Facts, measure
from univs.data.synth.look import Look
from univs.data.synth.phrases import Verdicts
from univs.data.synth.scene import Scene
from univs.data.synth.vocabulary import KINDS, may_mean, spoken

SMALLEST = 0.002  # share of the frame that a thing must cover at least once to be referred to


class Expressions(Mapping[int, tuple[str, ...]]):
    """Object id -> its expressions, plain ones first; made when first looked at, and kept as a dict when pickled.

    Objects without any expression (one of two equal ones side by side, a speck) are left out.
    """

    def __init__(self, scene: Scene, labels: np.ndarray) -> None:
        """labels: T H W uint8, the label maps of the scene as drawn; every noun of it must be known."""
        self._scene, self._labels = scene, labels

    @cached_property
    def _all(self) -> dict[int, tuple[str, ...]]:
        return refer(measure(self._scene, self._labels), {t.number: t.look for t in self._scene.things})

    def __getitem__(self, object_id: int) -> tuple[str, ...]:
        return self._all[object_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __reduce__(self) -> tuple[Callable[..., dict[int, tuple[str, ...]]], tuple[dict[int, tuple[str, ...]]]]:
        return dict, (self._all,)


@dataclass(frozen=True)
class _Word:
    """A part of an expression: the things for which it holds and those for which it does not (the others: doubtful)."""

    text: str
    holds: int
    fails: int

    @classmethod
    def of(cls, text: str, verdicts: Verdicts) -> _Word:
        bits = [sum(1 << row for row, verdict in enumerate(verdicts) if verdict is wanted) for wanted in (True, False)]
        return cls(text, bits[0], bits[1])


def refer(facts: Facts, looks: Mapping[int, Look]) -> dict[int, tuple[str, ...]]:
    """Expressions of the things of a clip, by id; looks: id -> how it looks, with a noun."""
    rows = range(len(facts.ids))
    chosen = [looks[i] for i in facts.ids]
    found = {look: shares(look) for look in dict.fromkeys(chosen)}
    heads = _heads([look.noun or "" for look in chosen])
    colours = [_Word.of(name, [is_coloured(look, found[look], name) for look in chosen]) for name in NAMES]
    tails = [_Word.of(text, verdicts) for text, verdicts in phrases.alone(facts)]
    everybody = (1 << len(rows)) - 1
    names = [_name(1 << row, everybody, heads[:-1], colours) for row in rows]
    for row, name in enumerate(names):
        if name:
            tails += [_Word.of(f"{text} {name}", verdicts) for text, verdicts in phrases.beside(facts, row)]
    smaller = phrases.smaller(facts)
    result = {}
    for row in rows:
        if facts.area[row].max() >= SMALLEST * facts.size[0] * facts.size[1]:
            lines = _expressions(row, everybody, heads, colours, tails, smaller)
            if lines:
                result[facts.ids[row]] = tuple(lines)
    return result


def _heads(nouns: list[str]) -> list[_Word]:
    """What the things may be called, from the most to the least precise; the last one is "thing"."""
    heads = []
    for word in dict.fromkeys(spoken(noun) for noun in nouns):
        verdicts: Verdicts = [True if spoken(n) == word else None if may_mean(word, n) else False for n in nouns]
        heads.append(_Word.of(word, verdicts))
    heads += [_Word.of(kind, [meant.holds(noun) for noun in nouns]) for kind, meant in KINDS.items()]
    return [*heads, _Word.of("thing", [True] * len(nouns))]


def _name(bit: int, everybody: int, heads: list[_Word], colours: list[_Word]) -> str | None:
    """The shortest unmistakable name of a thing to which others are related; None if it has none."""
    for head in heads:
        if head.holds & bit:
            if head.fails | bit == everybody:
                return f"the {head.text}"
            for colour in colours:
                if colour.holds & bit and head.fails | colour.fails | bit == everybody:
                    return f"the {colour.text} {head.text}"
    return None


def _expressions(
    row: int, everybody: int, heads: list[_Word], colours: list[_Word], tails: list[_Word], smaller: np.ndarray
) -> list[str]:
    """All expressions for one thing: the [size] [colour] head [phrase]. smaller: N N bool, row n is so beside m."""
    bit = 1 << row
    less, more = _bits(smaller[row]), _bits(smaller[:, row])
    fitting = [tail for tail in tails if tail.holds & bit]
    lines: list[tuple[int, str]] = []
    for head in (head for head in heads if head.holds & bit):
        for colour in (None, *(colour for colour in colours if colour.holds & bit)):
            fails = head.fails | (colour.fails if colour else 0)
            rivals = everybody & ~fails & ~bit
            likes = rivals & head.holds & (colour.holds if colour else everybody)  # nobody is small by himself
            few = rivals.bit_count() == 1
            sizes: list[tuple[str | None, int]] = [(None, 0)]
            if likes and rivals & ~less == 0:
                sizes.append(("small" if few else "smallest", rivals))
            if likes and rivals & ~more == 0:
                sizes.append(("large" if few else "largest", rivals))
            for size, outdone in sizes:
                for tail in (None, *fitting):
                    parts = [size, colour and colour.text, head.text, tail and tail.text]
                    said = [part for part in parts if part]
                    if said == ["thing"] or fails | outdone | (tail.fails if tail else 0) | bit != everybody:
                        continue
                    lines.append((len(said), " ".join(["the", *said])))
    return [line for _, line in sorted(lines, key=lambda line: line[0])]


def _bits(rows: np.ndarray) -> int:
    return sum(1 << int(row) for row in np.flatnonzero(rows))
