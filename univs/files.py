"""Files that appear whole or not at all, what systems leave beside them, and the folder of what can be made again."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STRAY = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "Thumbs.db", "desktop.ini"})
"""What systems and archives leave in folders, beside hidden files (._NAME, .DS_Store)."""


def is_stray(name: str) -> bool:
    """Whether a file or folder of this name is none that somebody put there: hidden, or left behind by a system."""
    return name.startswith(".") or name in STRAY


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted, without those that a system left there. Raises OSError."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not is_stray(path.name))


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A hidden temporary path in the folder of `path` that takes its name once the block ends without an error.

    The temporary name keeps the suffix (writers choose a format by it). After an error it is removed; a killed
    process may leave the hidden file behind, but never anything under the final name. Raises OSError as `open` does,
    of the final name, and before the block if a folder has that name.
    """
    final = Path(path)
    if final.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(final))
    temporary = final.with_name(f".{final.stem}.{os.getpid()}.tmp{final.suffix}")
    try:
        yield temporary
        os.replace(temporary, final)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and str(error.filename) == str(temporary):
            raise OSError(error.errno, error.strerror, str(final)) from error  # a hidden name tells a person nothing
        raise


def from_home(path: str | os.PathLike[str]) -> Path:
    """A path whose `~` or `~user` at the start is a home folder; of nobody who is known here it is part of a name."""
    return Path(os.path.expanduser(path))


def cache_folder() -> Path:
    """Where caches lie: $UNIVS_CACHE, else ~/.cache/univs. It may not exist yet."""
    given = os.environ.get("UNIVS_CACHE")
    return from_home(given) if given else Path.home() / ".cache" / "univs"
