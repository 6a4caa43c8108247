"""What lies where another file was meant: an empty file, a web page, a Git LFS pointer, known by its first bytes."""

from __future__ import annotations

from pathlib import Path

_HEAD = 512
_KINDS = {
    b"\x89PNG": ("a PNG picture", ""),
    b"\xff\xd8\xff": ("a JPEG picture", ""),
    b"GIF8": ("a GIF picture", ""),
    b"%PDF": ("a PDF document", ""),
    b"\x1f\x8b": ("a gzip archive", "; unpack it"),
    b"7z\xbc\xaf": ("a 7z archive", "; unpack it"),
    b"Rar!": ("a RAR archive", "; unpack it"),
    b"BZh": ("a bzip2 archive", "; unpack it"),
    b"\xfd7zXZ": ("an xz archive", "; unpack it"),
}


def download_fault(path: Path, meant: str) -> str | None:
    """What is wrong with a file of any kind, in words for behind its name; None if nothing is seen from here.

    meant: what the file should be: "a checkpoint".
    An empty file, a web page and a pointer of Git LFS are what failed downloads leave. Raises OSError as `open` does.
    """
    head = _head(path)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "is empty: the download broke off; fetch it again"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<script")):
        return f"is a web page, not {meant}: the download was refused or asks to confirm; open its address in a browser"
    if head.startswith(b"version https://git-lfs"):
        return f"is a pointer of Git LFS, not {meant}: `git lfs pull` fetches the file itself"
    return None


def other_kind(path: Path, meant: str) -> str | None:
    """What else a file is that should hold numbers (weights), in words for behind its name; None if it may hold them.

    meant: as above.
    Raises OSError as `open` does.
    """
    if path.is_dir():
        return f"is a folder, not {meant}; name the file in it"
    if fault := download_fault(path, meant):
        return fault
    head = _head(path)
    for magic, kind in _KINDS.items():
        if head.startswith(magic):
            return f"is {kind[0]}, not {meant}{kind[1]}"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<"):
        return f"is XML or a web page, not {meant}"
    if not _is_text(head):
        return None
    return f"is {'JSON' if start.startswith((b'{', b'[')) else 'a text file'}, not {meant}"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(head) < _HEAD or error.start < _HEAD - 3:  # but for a character that is cut where the head ends
            return False
        text = head[: error.start].decode("utf-8-sig")
    # pickles of protocol 0 are text, too: they end in a full stop and begin with a mark of a dict, a tuple, a global
    pickle = text.startswith(("(", "c", "}", "]")) and "\n" in text and not text.startswith("}\n")
    return not pickle and all(letter.isprintable() or letter in "\t\r\n" for letter in text)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        try:
            return file.read(_HEAD)
        except OSError as error:  # of a disk that fails; the system does not say of which file
            raise OSError(error.errno, error.strerror, str(path)) from error
