"""One run at a time in an output folder, and a mark there of a run that was killed."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from univs.errors import UserError

MARK = ".univs.lock"
"""The file in a folder that a run holds locked while it writes there; the system unlocks it however the run ends."""

_TAKEN = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
_CANNOT_LOCK = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class CutShort(KeyboardInterrupt):
    """Ctrl-C came while the last files of a run were written: what lies there is a part, as after a killed run."""


@dataclass(frozen=True)
class Claim:
    """A folder that this run alone writes to.

    unfinished: a run before this one was killed or cut short there, or ended by a bug, and left its files.
    """

    folder: Path
    unfinished: bool


@contextmanager
def claim_folder(folder: Path, option: str = "--out") -> Iterator[Claim]:
    """Makes a folder if need be, tries that it can be written, and keeps other runs out until the block ends.

    Folders that were made here and are still empty are removed again. option: how the user names another folder. Raises
    UserError for what is no folder, cannot be written, or is being written to by another run, of this process too.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    descriptor, unfinished = _open_mark(folder, option)
    ended = False
    try:
        yield Claim(folder, unfinished)
        ended = True
    except (UserError, KeyboardInterrupt) as error:
        # What such a run has written is whole; what lay there before it may still lie there.
        ended = not (unfinished or isinstance(error, CutShort))
        raise
    finally:
        if ended and sys.platform != "win32":
            (folder / MARK).unlink(missing_ok=True)  # as long as it is locked, it is no other run's
        os.close(descriptor)
        if ended and sys.platform == "win32":  # an open file cannot be removed: neither this one nor another run's
            with suppress(PermissionError):
                (folder / MARK).unlink(missing_ok=True)
        for path in new:
            if not any(path.iterdir()):
                path.rmdir()


def check_file(path: Path, option: str = "--out") -> None:
    """Tries that a file can be written, and leaves what is there. option: how the user chooses another one.

    Raises UserError where a folder has its name, and where the folder that it would lie in is missing or closed.
    """
    folder = path.parent
    if path.is_dir():
        raise UserError(f"{path} is a folder, and a file is to be written; choose another {option}")
    if not folder.is_dir():
        fault = f"{folder} is not a folder" if folder.exists() else f"there is no folder {folder}"
        raise UserError(f"{path} cannot be written: {fault}; choose another {option}")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{path}: cannot write to the folder {folder}: {reason}; choose another {option}") from None


def _open_mark(folder: Path, option: str) -> tuple[int, bool]:
    """The locked mark of a folder as a file descriptor, and whether an unlocked one was there."""
    path = folder / MARK
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            unfinished = path.exists()
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except (FileExistsError, NotADirectoryError):
            raise UserError(f"{folder} is not a folder; name another one with {option}") from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"cannot write to the folder {folder}: {reason}; name another one with {option}") from None
        try:
            _lock(descriptor)
        except BlockingIOError:
            process = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise UserError(
                f"another run (process {process or 'unknown'}) is writing to the folder {folder}; wait for its end, "
                f"or name another folder with {option}"
            ) from None
        if _is_at(descriptor, path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            return descriptor, unfinished
        os.close(descriptor)  # between opening and locking, the run before this one ended and removed its mark


def _lock(descriptor: int) -> None:
    """Lock an open file without waiting. Raises BlockingIOError if another opening of it is locked.

    On a file system that knows no locks nothing happens.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # a byte far behind the text, which others may read
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            raise BlockingIOError from error
        if error.errno not in _CANNOT_LOCK:
            raise


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that lies at a path now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
