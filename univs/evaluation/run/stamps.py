"""What the files of a recording were like when it was answered: an answer is kept as long as they stay so."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from univs.formats import Recording


def digest(value: object) -> str:
    """A short hash of what `repr` says of a value."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def stamp_files(paths: Iterable[Path | None]) -> str:
    """A short hash of the names, sizes and times of files, none of which is opened; None stands for no file."""
    return digest([path and _state(path) for path in paths])


def stamp(recording: Recording) -> str:
    """The same of the frames and label files of a recording, and of what its set says beside its labels.

    Drawn frames are no files. A JSON that holds the labels of many recordings is not listed by them; its stamp belongs
    to the settings of all.
    """
    frames = recording.frames if recording.drawn is None else ()
    said = (recording.shown, recording.wanted, recording.expressions, recording.categories, recording.stuff)
    return digest((stamp_files((*frames, *recording.label_files)), said))


def _state(path: Path) -> tuple[str, int, int]:
    """Name, size and time in nanoseconds; a file that is not there has none."""
    try:
        found = os.stat(path)
    except OSError:
        return path.name, -1, -1
    return path.name, found.st_size, found.st_mtime_ns
