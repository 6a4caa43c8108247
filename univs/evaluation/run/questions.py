"""What a benchmark asks of one recording: what is said at which frame, in the words of `univs.prompts`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.formats import Recording, RecordingSet
from univs.formats.class_names import ClassNames
from univs.prompts import Box, Categories, Mask, Points, Prompt, Scribble, Text
from univs.vocabularies import plain_name

Asked = Prompt | Categories
PromptKind = Literal["mask", "box", "point", "scribble"]
"""How objects are shown."""


@dataclass(frozen=True)
class Question:
    """What is asked of one recording.

    starts: the frames at which something is said, ascending; with none there is nothing to ask. says: what is said at
    one of them, read when it is needed. object_ids: the objects that are followed. shown: object id -> true mask H W of
    those that are shown at one of the frames, where objects are shown.
    """

    starts: tuple[int, ...]
    says: Callable[[int], Sequence[Asked]]
    object_ids: tuple[int, ...] = ()
    shown: Callable[[int], Mapping[int, NDArray[np.bool_]]] | None = None


Ask = Callable[[Recording, RecordingSet], Question]


def ask_shown(recording: Recording, data: RecordingSet, *, prompt: PromptKind = "mask") -> Question:
    """Objects are shown by prompts made of their true masks, each once, at `Recording.shown`."""
    return _shown(recording, False, prompt)


def ask_named_and_shown(recording: Recording, data: RecordingSet, *, prompt: PromptKind = "mask") -> Question:
    """The same of things and stuff, each with the name of its class where the set tells it."""
    return _shown(recording, True, prompt)


def ask_described(recording: Recording, data: RecordingSet) -> Question:
    """Object i is what expression i - 1 describes, from the start."""
    texts = [Text(said.text, number) for number, said in enumerate(recording.expressions, 1)]
    return Question((0,) if texts else (), partial(_always, texts), tuple(range(1, len(texts) + 1)))


def ask_classes(recording: Recording, data: RecordingSet) -> Question:
    """All classes of the set are looked for, from the start."""
    return Question((0,), partial(_always, [ClassNames.of(data).categories]))


def prompted_by(ask: Ask, prompt: PromptKind, what: str) -> Ask:
    """The same questions with prompts of another kind. UserError, naming `what`, where no object is shown."""
    if ask not in SHOWING:
        raise shows_nothing(what, prompt)
    showing: Callable[..., Question] = ask
    return partial(showing, prompt=prompt)


def shows_nothing(what: str, prompt: PromptKind) -> UserError:
    """The error of a prompt for a set or task, named by `what`, that shows no objects."""
    return UserError(f"{what} shows no objects, so prompt={prompt} cannot be; leave prompt as it is")


SHOWING: tuple[Ask, ...] = (ask_shown, ask_named_and_shown)
"""Questions that take a kind of prompt."""


def prompt_of(kind: PromptKind, object_id: int, mask: NDArray[np.bool_]) -> Prompt:
    """What shows an object (its mask H W): the mask, its tight box, one click on the pixel deepest inside, or strokes.

    Depth is the distance to what is not the object, beyond the edge of the frame too; the first of equals is taken, row
    by row. Strokes are those of the DAVIS robot, one through each part of the object; a dab where it is deepest if the
    robot finds it too small. Raises UserError for an empty mask.
    """
    if kind == "mask":
        return Mask(object_id, mask)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise UserError(f"object {object_id} cannot be shown by a {kind} on a frame on which it is not seen")
    if kind == "box":
        return Box(object_id, (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    if kind == "scribble":
        return Scribble(object_id, [_fractions(path, mask.shape) for path in _strokes(mask)])
    x, y = _deepest(mask)
    return Points(object_id, [(x + 0.5, y + 0.5)])


def _deepest(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """The pixel (x, y) that is deepest inside."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(x), int(y)


def _strokes(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """The robot's strokes on an object, P 2 pixels (x, y) each; a dab if it finds none."""
    from univs.interactive.curves import bezier
    from univs.interactive.robot import SAMPLES, skeleton_paths

    drawn = [bezier(path.astype(float), SAMPLES) for path in skeleton_paths(mask)]
    return drawn or [np.array([_deepest(mask)], float)]


def _fractions(xy: NDArray[np.float64], size: tuple[int, ...]) -> list[tuple[float, float]]:
    """Pixels P 2, (x, y), of a frame of (height, width), as a scribble has them: its drawing rounds down to them."""
    height, width = size
    last = max(width - 1, 1), max(height - 1, 1)
    return [(x, y) for x, y in np.minimum((xy + 0.5) / last, 1).tolist()]


def _shown(recording: Recording, named: bool, prompt: PromptKind) -> Question:
    return Question(
        tuple(sorted(set(recording.shown.values()))),
        partial(_prompts, recording, named, prompt),
        tuple(sorted(recording.shown)),
        partial(_masks, recording, named),
    )


def _prompts(recording: Recording, named: bool, prompt: PromptKind, frame: int) -> list[Asked]:
    """What shows, and names, the objects that are shown at a frame."""
    names = {**recording.categories, **recording.stuff} if named else {}
    said: list[Asked] = []
    for number, mask in _masks(recording, named, frame).items():
        said.append(prompt_of(prompt, number, mask))
        if number in names:
            said.append(Text(plain_name(names[number]), number))
    return said


def _masks(recording: Recording, named: bool, frame: int) -> dict[int, NDArray[np.bool_]]:
    """The masks of the objects that are shown at a frame."""
    labels = recording.labels_of(frame)
    if labels is None:
        raise UserError(f"{recording.name}: objects are shown at {recording.frames[frame]}, which has no labels")
    segments = labels.panoptic if named and labels.panoptic is not None else labels.objects
    return {number: segments == number for number, start in sorted(recording.shown.items()) if start == frame}


def _always(said: Sequence[Asked], frame: int) -> Sequence[Asked]:
    return said
