"""What an earlier run of `univs segment` left in a folder: found by name, removed only where a run of ours was."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from univs.errors import UserError

FRAME = r"\d{5,}\.png"
WHOLE = ("overlay.mp4", "contact_sheet.png", "results.json")
"""Files that a run writes when it ends."""
FILES = {
    ".": "|".join(map(re.escape, WHOLE)),
    "masks": FRAME,
    "semantic": rf"{FRAME}|categories\.json",
    "panoptic": rf"{FRAME}|panoptic\.json|annotations\.part",
}
"""Folder below the output -> names of the files that a run writes there. Objects of expressions: masks/ID/FRAME."""
TEMPORARY = r"\.[^.]+\.\d+\.tmp\.\w+"
"""Names of `univs.files.atomic_path`; a killed run leaves them."""


def earlier_files(folder: Path) -> Iterator[Path]:
    """The files in an output folder that a run writes, by their names."""
    places = [(folder / place, names) for place, names in FILES.items()]
    masks = folder / "masks"
    if masks.is_dir():
        places += [(path, FRAME) for path in sorted(masks.iterdir()) if re.fullmatch(r"\d+", path.name)]
    for place, names in places:
        if place.is_dir():
            known = re.compile(f"{names}|{TEMPORARY}")
            yield from (path for path in sorted(place.iterdir()) if known.fullmatch(path.name) and path.is_file())


def refuse_obstacles(folder: Path) -> None:
    """Raises UserError if a folder has the name of a file that a run writes there, or a file that of a folder."""
    for path in (folder / name for name in WHOLE):
        if path.is_dir():
            raise UserError(f"{path} is a folder, and a run writes a file there; name another --out")
    for path in (folder / place for place in FILES):
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} is a file, and a run needs a folder there; name another --out")


def holds_results(folder: Path) -> bool:
    """Whether the results.json in a folder is of a run of ours: an array of tracks, the first of video 1.

    One without tracks is ours if it is written as ours are, on two lines: other programs write [].
    """
    try:
        with open(folder / "results.json", "rb") as file:
            start = file.read(64)
    except OSError:
        return False
    return re.match(rb'\[\r?\n\]\r?\n\Z|\[\s*\{"video_id": 1, "object_id": ', start) is not None


def remove_earlier(folder: Path) -> None:
    """Delete what an earlier run wrote, and the folders that are empty then; whatever else is there stays."""
    for path in list(earlier_files(folder)):
        path.unlink()
    masks = folder / "masks"
    inner = [path for path in masks.iterdir() if path.name.isdigit()] if masks.is_dir() else []
    for place in (*inner, masks, folder / "semantic", folder / "panoptic"):
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()


def left_in(folder: Path) -> str:
    """The files named as a run names them, in a few words: "overlay.mp4, masks (12 files)"; empty if there is none."""
    places = (path.relative_to(folder) for path in earlier_files(folder))
    counts = Counter(str(path.parent if len(path.parts) > 1 else path) for path in places)
    return ", ".join(f"{name} ({count} files)" if count > 1 else name for name, count in counts.items())


def refuse_foreign(folder: Path, kind: str = "masks", *, with_overlay: bool = True, frames: int | None = None) -> None:
    """Raises UserError if a run would replace a file, where no run of ours seems to have been there.

    kind: of the labels (`Task.labels`). frames: of the video; None: not known, and any frame may come.
    """
    for path in () if holds_results(folder) else earlier_files(folder):
        place, name = path.relative_to(folder).parts[:-1], path.name
        if not place:
            replaced = with_overlay or name != "overlay.mp4"
        elif kind == "expressions":
            replaced = place[0] == "masks"
        else:
            replaced = place == (kind,)
        if replaced and re.fullmatch(FRAME, name):
            number = int(path.stem)
            replaced = name == f"{number:05d}.png" and (frames is None or number < frames)
        if replaced and not name.startswith("."):
            raise UserError(f"{path} is not of an earlier run and would be replaced; name another --out")


def refuse_own_masks(sources: Iterable[str], folder: Path) -> None:
    """Raises UserError if a mask that is given is among the files of an earlier run, which go with the first frame."""
    own = {Path(os.path.realpath(path.parent)) / path.name for path in earlier_files(folder)}
    for source in map(Path, sources):
        if own & {Path(os.path.realpath(source)), Path(os.path.realpath(source.parent)) / source.name}:
            raise UserError(f"{source} lies in the output folder {folder} and would be removed; name another --out")


def refuse_own_input(source: str, folder: Path) -> None:
    """Raises UserError if a video (file, folder or glob) is among the files that a run into the folder replaces.

    Nor may the folder be that of the frames: what a run writes there would be among them the next time.
    """
    given, out = Path(os.path.realpath(source)), Path(os.path.realpath(folder))
    by_glob = glob.has_magic(source) and not given.exists()
    found = [Path(match) for match in glob.iglob(source, recursive=True) if os.path.isfile(match)] if by_glob else []
    own = [out / place for place in FILES if place != "."]
    for path in (given, *map(Path, map(os.path.realpath, found))):
        if path == out / "overlay.mp4" or any(place in (path, *path.parents) for place in own):
            raise UserError(f"{source} lies in the output folder {folder} and would be replaced; name another --out")
    folders = {Path(os.path.realpath(path.parent)) for path in found}
    if out in {given.parent if by_glob else given, *folders}:
        raise UserError(f"the output folder {folder} is that of the frames; name another --out")
