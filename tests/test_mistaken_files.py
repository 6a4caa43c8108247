"""Files that are not what was meant, by their first bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from univs.errors import UserError
from univs.mistaken_files import download_fault, other_kind
from univs.texts import read_json
from univs.video import open_video, read_rgb

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n"
PAGE = b"\xef\xbb\xbf \n<!DOCTYPE HTML><html>Virus scan warning"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty: the download broke off"),
        (PAGE, "is a web page, not a checkpoint: "),
        (POINTER, "is a pointer of Git LFS, not a checkpoint: `git lfs pull`"),
        (b'{"a": 1}', "is JSON, not a checkpoint"),
        (b"\x1f\x8b\x08abc", "is a gzip archive, not a checkpoint; unpack it"),
        ("Grüße, " * 300, "is a text file, not a checkpoint"),
        (b"<?xml?>", "is XML or a web page"),
        (b"\x89PNG\r\n", "is a PNG picture"),
        (b"\x80\x02}q\x00.", None),
        (b"\x80\x02}q", None),
        (b"(dp0\nVa\nI1\ns.", None),  # a pickle of protocol 0
        (b"\x18\0\0\0\0\0\0\0{}", None),
        (b"PK\x03\x04", None),
    ],
)
def test_kinds(tmp_path: Path, content: bytes | str, words: str | None) -> None:
    path = tmp_path / "file"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = other_kind(path, "a checkpoint")
    assert found is None if words is None else (found or "").startswith(words)


def test_a_folder(tmp_path: Path) -> None:
    assert other_kind(tmp_path, "a checkpoint") == "is a folder, not a checkpoint; name the file in it"


@pytest.mark.parametrize(("content", "words"), [(PAGE, "web page"), (POINTER, "Git LFS"), (b"", "is empty")])
def test_every_reader_says_so(tmp_path: Path, content: bytes, words: str) -> None:
    readers: dict[str, Callable[[Path], Any]] = {
        "a.json": lambda path: read_json(path, "annotations"),
        "a.jpg": read_rgb,
        "a.mp4": open_video,
    }
    for name, read in readers.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=words) as error:
            read(tmp_path / name)
        assert name in str(error.value) and "\n" not in str(error.value)
    assert download_fault(Path(__file__), "code") is None
