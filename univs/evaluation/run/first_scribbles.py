"""The first scribbles that persons drew on sequences of DAVIS: Scribbles/SEQUENCE/001.json and so on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from univs.errors import UserError
from univs.evaluation.metrics.score_files import read_json
from univs.evaluation.run.interactive_rounds import FirstScribbles, true_labels
from univs.formats import Recording
from univs.interactive.interactions import Stroke

FOLDER = "Scribbles"


def read_scribbles(root: Path, recording: Recording) -> list[FirstScribbles]:
    """All first scribbles of a sequence, in the order of their files; none where the set has none.

    Those of frames beyond the recording, which may be the first frames of a sequence, are left out. Raises UserError
    for a file that is none of scribbles.
    """
    files = sorted((root / FOLDER / recording.name).glob("*.json"))
    return [first for file in files if (first := read_file(file, recording)) is not None]


def read_file(path: Path, recording: Recording) -> FirstScribbles | None:
    """The scribbles of a file on the first frame that has any; None where no frame of the recording has."""
    found = read_json(path, "a list `scribbles` with those of each frame")
    place = recording.annotated[0] if recording.annotated else 0
    try:
        return scribbles_of(found, true_labels(recording, place).shape, len(recording))
    except UserError as error:
        raise UserError(f"{path} is no file of DAVIS scribbles: {error}") from error


def scribbles_of(found: Any, size: tuple[int, ...], frames: int) -> FirstScribbles | None:
    """What was drawn on the first frame that has any; None where none of so many `frames` has.

    Args:
        found: the contents of a file of DAVIS scribbles.
        size: H W of the frames.
    Raises UserError for anything else.
    """
    height, width = size
    try:
        every: list[Any] = list(found["scribbles"])
        drawn = [(index, lines) for index, lines in enumerate(every) if lines and index < frames]
        if not drawn:
            return None
        index, lines = drawn[0]
        said = [(int(line["object_id"]), _stroke(line["path"], height, width)) for line in lines if line["path"]]
        return FirstScribbles(index, said)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{error} is wrong or missing") from error


def _stroke(path: Any, height: int, width: int) -> Stroke:
    """A path in 0..1 of the frame as a stroke in pixels, rounded down as the official tool does."""
    points = [(float(x), float(y)) for x, y in path]
    if not all(0 <= x <= 1 and 0 <= y <= 1 for x, y in points):
        raise ValueError("a path outside 0..1")
    return Stroke(tuple((float(int(x * (width - 1))), float(int(y * (height - 1)))) for x, y in points))
