"""The members of a zip file, found by name and read at their places by any number of processes."""

from __future__ import annotations

import os
import struct
import threading
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from univs.data.pack.contents import MEMBER
from univs.errors import UserError
from univs.mistaken_files import download_fault

MOST_BYTES = 2**30
"""Of a member: no pack has a larger one, and nobody's memory should be taken by a file that says so."""
_HEAD = struct.Struct("<4s22xHH")
"""Before the bytes of a member: a signature, and the lengths of its name and of what else stands before the bytes."""
_READING = threading.Lock()


class Archive:
    """Members by name.

    What is kept of them are a few arrays; the file is opened in each process that reads. Reads name their place in the
    file, so that processes that were forked, which share its handle, do not disturb each other.
    """

    def __init__(self, path: Path) -> None:
        """Raises UserError for what is no zip file or was cut off."""
        self.path = path
        self._file: BinaryIO | None = None
        if path.is_dir():
            raise UserError(f"the pack {path} is a folder; expected a file that univs datasets pack wrote")
        try:
            self._stamp = _stamp(os.stat(path))
            with zipfile.ZipFile(path) as file:
                members = sorted((m for m in file.infolist() if MEMBER.fullmatch(m.filename)), key=lambda m: m.filename)
        except OSError as error:
            raise UserError(f"cannot read the pack {path}: {error.strerror or error}") from error
        except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError) as error:
            fault = download_fault(path, "a pack") or "is cut off, or no zip file at all; copy it again"
            raise UserError(f"cannot read the pack {path}: it {fault}") from error
        self._names = np.array([member.filename for member in members], "S")
        numbers = [(m.header_offset, m.compress_size, m.file_size, m.compress_type, m.CRC) for m in members]
        self._numbers = np.array(numbers, np.int64).reshape(-1, 5)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def read(self, name: str) -> bytes:
        """The content of a member. Raises UserError, naming the file and the member, if it is missing or broken."""
        place = int(np.searchsorted(self._names, name.encode()))
        if place == len(self._names) or self._names[place] != name.encode():
            raise UserError(f"the pack {self.path} has no {name}; pack it again")
        start, stored, size, method, checksum = map(int, self._numbers[place])
        if max(stored, size) > MOST_BYTES:
            raise self._broken(name, f"it has {max(stored, size)} bytes")
        head = self._bytes(name, start, _HEAD.size)
        signature, *lengths = _HEAD.unpack(head)
        if signature != b"PK\3\4":
            raise self._broken(name, "it does not begin where the file says")
        content = self._bytes(name, start + _HEAD.size + sum(lengths), stored)
        if method == zipfile.ZIP_DEFLATED:
            try:
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
            except zlib.error as error:
                raise self._broken(name, str(error)) from error
        elif method != zipfile.ZIP_STORED:
            raise self._broken(name, f"it is compressed in a way ({method}) that packs are not")
        if len(content) != size or zlib.crc32(content) != checksum:
            raise self._broken(name, "its checksum is wrong")
        return content

    def _bytes(self, name: str, start: int, count: int) -> bytes:
        """So many bytes of the file from a place on."""
        try:
            if self._file is None:
                file = open(self.path, "rb", buffering=0)  # noqa: SIM115 (open as long as the sources are)
                if _stamp(os.fstat(file.fileno())) != self._stamp:
                    file.close()
                    raise UserError(f"the pack {self.path} was replaced while it was read; start again")
                self._file = file
            found = _read_at(self._file, start, count)
        except OSError as error:
            raise UserError(f"cannot read the pack {self.path}: {error.strerror or error}") from error
        if len(found) != count:
            raise self._broken(name, "the file ends before it does")
        return found

    def _broken(self, name: str, why: str) -> UserError:
        return UserError(f"the pack {self.path} is broken at {name}: {why}; copy it again")


def _read_at(file: BinaryIO, start: int, count: int) -> bytes:
    """So many bytes from a place on, whatever else reads the file. Raises OSError."""
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), count, start)
    with _READING:  # Windows knows no pread, and no forks either: threads alone share a file
        file.seek(start)
        return file.read(count)


def _stamp(status: os.stat_result) -> tuple[int, int]:
    """What tells a file from another one that took its name."""
    return status.st_size, status.st_mtime_ns
