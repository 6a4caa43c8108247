"""The ground truth of the videos that were answered, as the scorer of their benchmark takes it.

It is made of links to the files of the set and of lists of the chosen videos, so that part of a split, or another one,
is scored as the official one is. A layout's `truth` gives the scorer's path, or None where the set has no ground
truth.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from univs.formats.files import write_json, write_lines
from univs.formats.recording import Recording, RecordingSet

Truth = Callable[[RecordingSet, Sequence[Recording], Path], Path | None]
"""(set, the videos that were answered, a folder of one's own) -> what the scorer takes."""


def truth_folders(
    data: RecordingSet, recordings: Sequence[Recording], folder: Path, *, home: str, names: str = ""
) -> Path | None:
    """Folders of label maps, one for each video.

    Args:
        home: where they go, with {} for the video.
        names: where the list of the videos goes; nowhere if empty.
    """
    if not all(len(recording.label_files) == len(recording.frames) for recording in recordings):
        return None
    for recording in recordings:
        link(folder / home.format(recording.name), recording.label_files[0].parent)
    if names:
        write_lines(folder / names, [recording.name for recording in recordings])
    return folder


def part_of(path: Path, part: Path, content: dict[str, Any], rows: dict[str, list[Any]]) -> Path:
    """The file itself if these rows are all it has, else a file with these rows alone."""
    if all(len(content[key]) == len(kept) for key, kept in rows.items()):
        return path
    write_json(part, {**content, **rows})
    return part


def link(path: Path, target: Path) -> None:
    """A symbolic link to a file or folder, or a copy where there may be none; the folders above it are made.

    Raises OSError if there is something at the path, or nothing to copy.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.symlink_to(target.resolve())
    except FileExistsError:
        raise
    except OSError:  # Windows asks for a privilege, and some file systems have no links
        if target.is_dir():
            shutil.copytree(target, path)
        else:
            shutil.copyfile(target, path)
