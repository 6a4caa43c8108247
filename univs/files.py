"""Files that appear whole or not at all, and the folder of what can be made again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A hidden temporary path in the folder of `path` that takes its name once the block ends without an error.

    The temporary name keeps the suffix (writers choose a format by it). After an error it is removed; a killed
    process may leave the hidden file behind, but never anything under the final name. Raises OSError as `open` does.
    """
    final = Path(path)
    temporary = final.with_name(f".{final.stem}.{os.getpid()}.tmp{final.suffix}")
    try:
        yield temporary
        os.replace(temporary, final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def cache_folder() -> Path:
    """Where caches lie: $UNIVS_CACHE, else ~/.cache/univs. It may not exist yet."""
    given = os.environ.get("UNIVS_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "univs"
