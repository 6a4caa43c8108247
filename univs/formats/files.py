"""Files of data sets: JSON with an error that names the file, frames and masks written whole or not at all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from univs import texts
from univs.errors import UserError
from univs.files import atomic_path
from univs.texts import expecting as expecting
from univs.video.images import IMAGE_SUFFIXES, is_image, natural_key


def read_json(path: Path, what: str, keys: Sequence[str] = ()) -> Any:
    """The content of a JSON file (also .json.gz). Raises UserError if it is missing, broken or lacks one of `keys`."""
    if not path.is_file():
        raise UserError(f"{what}: no file {path}")
    content = texts.read_json(path, f"{', '.join(keys) or 'a JSON file'} of {what}")
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise UserError(f"{what}: {path} has no {missing[0]!r}; it needs {', '.join(keys)}")
    return content


def write_json(path: Path, content: Any, **options: Any) -> None:
    """Writes a JSON file whole or not at all; folders are made. options: of `json.dumps`."""
    _write_text(path, json.dumps(content, **options))


def list_frames(folder: Path, what: str) -> tuple[Path, ...]:
    """The pictures in a folder in the natural order of their names (2.jpg before 10.jpg), hidden ones left out.

    Raises UserError if it is missing or holds none, and where two differ in their suffixes alone.
    """
    found = files_by_stem(require_folder(folder, what), is_image, what).values()
    if not found:
        raise UserError(f"{what}: no frames ({' '.join(sorted(IMAGE_SUFFIXES))}) in {folder}")
    return tuple(sorted(found, key=natural_key))


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a text file that are not empty, stripped. Raises UserError if it cannot be read."""
    return texts.read_entries(path, f"a list of {what}, one entry a line")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a text file of one entry a line, whole or not at all; folders are made."""
    _write_text(path, "".join(f"{line}\n" for line in lines))


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def inside(root: Path, relative: str) -> Path:
    """A path out of a file, below `root`. Raises UserError where it would leave that folder."""
    path = root / relative
    if "\0" in relative:
        raise UserError(f"{relative!r} is no path below {root}")
    if not path.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{relative!r} leads out of {root}")
    return path


def first_file(root: Path, names: Sequence[str], what: str) -> Path:
    """The first of these files below `root` (also with .gz). Raises UserError, naming all, if there is none."""
    for name in names:
        for path in (root / name, root / f"{name}.gz"):
            if path.is_file():
                return path
    others = f" (nor {', '.join(names[1:])})" if len(names) > 1 else ""
    raise UserError(f"{what}: no file {root / names[0]}{others}")


def first_folder(root: Path, names: Sequence[str], what: str) -> Path:
    """The first of these folders below `root`. Raises UserError, naming all, if there is none."""
    for name in names:
        if (root / name).is_dir():
            return root / name
    others = f" (nor {', '.join(names[1:])})" if len(names) > 1 else ""
    raise UserError(f"{what}: no folder {root / names[0]}{others}")


def folder_holding(root: Path, names: Sequence[str], relative: str, what: str) -> Path:
    """The first of these folders below `root` that holds a folder `relative`, else the first that is there at all.

    Raises UserError if none is there.
    """
    holding = [name for name in names if inside(root / name, relative).is_dir()]
    return first_folder(root, holding or names, what)


def require_folder(path: Path, what: str) -> Path:
    """The path itself if it is a folder; UserError naming `what` otherwise."""
    if not path.is_dir():
        raise UserError(f"{what}: no folder {path}")
    return path


def files_by_stem(folder: Path, wanted: Callable[[Path], bool], what: str) -> dict[str, Path]:
    """Stem -> file of those in a folder that are wanted, by name. Raises UserError where two have one stem."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if wanted(path) and path.is_file():
            if path.stem in found:
                raise UserError(f"{what}: both {found[path.stem].name} and {path.name} in {folder}; keep one of them")
            found[path.stem] = path
    return found


def read_names(exclude: str | Path | list[str] | tuple[str, ...] | None) -> frozenset[str]:
    """Names to leave out: a list, or a text file with one a line (blank lines and # comments skipped)."""
    if exclude is None:
        return frozenset()
    if isinstance(exclude, (list, tuple)):
        return frozenset(str(name) for name in exclude)
    path = Path(exclude)
    if not path.is_file():
        raise UserError(f"list of excluded names: no file {path}")
    return frozenset(line for line in texts.read_entries(path, "names, one a line") if not line.startswith("#"))


def folder_name(folder: Path) -> str:
    """The name of a folder, also of one that is given as . or ..; a link has its own."""
    return folder.resolve().name if folder.name in ("", "..") else folder.name


def distinct_names(short: Sequence[str], full: Sequence[str]) -> list[str]:
    """Names of N things: the short ones, and the full ones of those whose short names are equal."""
    counts = Counter(short)
    return [name if counts[name] == 1 else other for name, other in zip(short, full, strict=True)]


def is_named(names: Collection[str], folder: str, name: str) -> bool:
    """Whether a list of names (see `read_names`) has this one of a folder, as `name` or as `folder/name`."""
    return name in names or f"{folder}/{name}" in names
