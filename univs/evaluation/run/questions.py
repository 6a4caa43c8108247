"""What a benchmark asks of one recording: what is said at which frame, in the words of `univs.prompts`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from univs.errors import UserError
from univs.formats import Recording, RecordingSet
from univs.formats.class_names import ClassNames
from univs.prompts import Categories, Mask, Prompt, Text
from univs.vocabularies import plain_name

Asked = Prompt | Categories


@dataclass(frozen=True)
class Question:
    """What is asked of one recording.

    starts: the frames at which something is said, ascending; with none there is nothing to ask. says: what is said at
    one of them, read when it is needed. object_ids: the objects that are followed.
    """

    starts: tuple[int, ...]
    says: Callable[[int], Sequence[Asked]]
    object_ids: tuple[int, ...] = ()


Ask = Callable[[Recording, RecordingSet], Question]


def ask_shown(recording: Recording, data: RecordingSet) -> Question:
    """Objects are shown by their masks, each once, at `Recording.shown`."""
    return _shown(recording, partial(_masks, recording, False))


def ask_named_and_shown(recording: Recording, data: RecordingSet) -> Question:
    """The same of things and stuff, each with the name of its class where the set tells it."""
    return _shown(recording, partial(_masks, recording, True))


def ask_described(recording: Recording, data: RecordingSet) -> Question:
    """Object i is what expression i - 1 describes, from the start."""
    texts = [Text(said.text, number) for number, said in enumerate(recording.expressions, 1)]
    return Question((0,) if texts else (), partial(_always, texts), tuple(range(1, len(texts) + 1)))


def ask_classes(recording: Recording, data: RecordingSet) -> Question:
    """All classes of the set are looked for, from the start."""
    return Question((0,), partial(_always, [ClassNames.of(data).categories]))


def _shown(recording: Recording, says: Callable[[int], Sequence[Asked]]) -> Question:
    return Question(tuple(sorted(set(recording.shown.values()))), says, tuple(sorted(recording.shown)))


def _masks(recording: Recording, named: bool, frame: int) -> list[Asked]:
    """The masks of the objects that are shown at a frame."""
    labels = recording.labels_of(frame)
    if labels is None:
        raise UserError(f"{recording.name}: objects are shown at {recording.frames[frame]}, which has no labels")
    segments = labels.panoptic if named and labels.panoptic is not None else labels.objects
    names = {**recording.categories, **recording.stuff} if named else {}
    said: list[Asked] = []
    for number in (number for number, start in sorted(recording.shown.items()) if start == frame):
        said.append(Mask(number, segments == number))
        if number in names:
            said.append(Text(plain_name(names[number]), number))
    return said


def _always(said: Sequence[Asked], frame: int) -> Sequence[Asked]:
    return said
