"""Texts of Windows editors, packed and broken ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from univs.errors import UserError
from univs.texts import read_entries, read_json, read_text


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(mark + "aä\r\n\r\n  b \r\n".encode())
    assert read_entries(path, "names") == ["aä", "b"]
    (tmp_path / "a.json").write_bytes(mark + b'{"a": 1}')
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(mark + b'{"a": 1}'))
    assert read_json(tmp_path / "a.json", "") == read_json(tmp_path / "a.json.gz", "") == {"a": 1}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("ä".encode("latin-1"), "no UTF-8 text .*0xe4; save it as UTF-8.; expected names"),
        ("a".encode("utf-16"), "no UTF-8 text .*0xff"),
        (b"{", "no JSON file .*; expected names"),
        (b"", "is empty: the download broke off"),
        (b"[" * 100_000, "no JSON file"),
        (b"<html>", "is a web page, not names"),
    ],
)
def test_what_is_no_text_or_no_json_is_said_in_one_line(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=why) as caught:
        read_json(path, "names")
    assert "\n" not in str(caught.value) and "a.json" in str(caught.value)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; expected names"):
        read_text(tmp_path / "nothing", "names")
    with pytest.raises(UserError, match="cannot read .*; expected names"):
        read_text(tmp_path, "names")
    packed = tmp_path / "a.json.gz"
    for content in (b"plain", gzip.compress(b"[1, 2, 3]" * 100)[:-20]):
        packed.write_bytes(content)
        with pytest.raises(UserError, match="cannot read .*a.json.gz"):
            read_json(packed, "names")
