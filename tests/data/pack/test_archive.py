"""Members are found and checked; whatever is wrong with the file is one line that names it."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cv2")

from univs.data.pack import archive as archive_module  # noqa: E402
from univs.data.pack import open_pack  # noqa: E402
from univs.data.pack.archive import Archive  # noqa: E402
from univs.data.pack.contents import INDEX, member, recordings_member  # noqa: E402
from univs.errors import UserError  # noqa: E402


@pytest.fixture
def pack(sources: list[dict[str, Any]], pack_of: Callable[..., Any]) -> Path:
    return pack_of(sources)[0]


def test_members_are_what_zipfile_reads(pack: Path) -> None:
    archive = Archive(pack)
    with zipfile.ZipFile(pack) as file:
        for name in file.namelist():
            assert archive.read(name) == file.read(name)


def test_members_where_there_is_no_pread(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pread", raising=False)  # Windows
    archive = Archive(pack)
    with zipfile.ZipFile(pack) as file, ThreadPool(4) as threads:
        names = file.namelist() * 8
        assert threads.map(archive.read, names) == [file.read(name) for name in names]


def test_order_and_other_members_do_not_matter(pack: Path, tmp_path: Path) -> None:
    """As another tool packs them, folders and strangers among them; names that lead elsewhere are not looked at."""
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(pack) as file, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("000/", b"")
        out.writestr("../../index.json", b"{}")
        out.writestr("x" * 60000, b"")
        for name in reversed(file.namelist()):
            out.writestr(name, file.read(name))
    one, again = open_pack(pack, "clips"), open_pack(other, "clips")
    assert (one[0][1][1].image == again[0][1][1].image).all()


def test_forked_processes_do_not_disturb_each_other(pack: Path) -> None:
    """They share the handle, and with it the place that plain reads begin at."""
    archive = Archive(pack)
    names = [member(2, 1, frame, suffix) for frame in range(5) for suffix in ("webp", "json")]
    expected = [archive.read(name) for name in names]
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            same = all([archive.read(name) for name in names] == expected for _ in range(60))
            os._exit(0 if same else 1)
        children.append(child)
    assert all([archive.read(name) for name in names] == expected for _ in range(60))
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]


def error_of(path: Path) -> str:
    with pytest.raises(UserError) as error:
        for _, source, _ in open_pack(path, "clips"):
            for index in range(len(source)):
                recording = source[index]
                if hasattr(recording, "annotated"):
                    for frame in recording.annotated:
                        recording.read(frame)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    return str(error.value)


def test_files_that_are_no_packs(pack: Path, tmp_path: Path) -> None:
    assert "No such file" in error_of(tmp_path / "nothing.zip")
    assert "is a folder" in error_of(tmp_path)
    other = tmp_path / "other.zip"
    for content, why in (
        (b"", "is empty"),
        (b"<!doctype html><p>404", "is a web page"),
        (b"PK\3\4 and no more", "cut off, or no zip file"),
        (pack.read_bytes()[:-1000], "cut off, or no zip file"),
    ):
        other.write_bytes(content)
        assert why in error_of(other)
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("photo.jpg", b"")
    assert f"has no {INDEX}" in error_of(other)


def changed(pack: Path, path: Path, name: str, content: bytes | None) -> Path:
    """The pack with another member in place of one, or without it."""
    with zipfile.ZipFile(pack) as file, zipfile.ZipFile(path, "w") as out:
        for each in file.namelist():
            if each != name or content is not None:
                out.writestr(each, content if each == name and content is not None else file.read(each))
    return path


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        (INDEX, b"[]", "does not say that univs datasets pack wrote it"),
        (INDEX, b"not json", "does not say that univs datasets pack wrote it"),
        (INDEX, b'{"format": "univs pack", "version": 7}', "version 7; this univs reads version 1"),
        (INDEX, b'{"format": "univs pack", "version": 1, "use": "clips"}', "sources"),
        (
            INDEX,
            b'{"format": "univs pack", "version": 1, "use": "x", "sources": [], "longest": 1, "quality": 1}',
            "use",
        ),
        (
            INDEX,
            b'{"format": "univs pack", "version": 1, "use": "clips", "longest": 1, "quality": 1,'
            b'"sources": [{"sort": "made", "options": {}}]}',
            "for stage=words alone",
        ),
        (recordings_member(1), None, "has no 001/recordings.jsonl"),
        (recordings_member(1), b"{}\n", "names 1 recordings in 001/recordings.jsonl, 2 in index.json"),
        (recordings_member(1), b"{}\n{}\n", "no recording (KeyError('name'))"),
        (member(2, 1, 3, "webp"), None, "has no 002/000001-00003.webp"),
        (member(2, 1, 3, "webp"), b"RIFF", "cannot read the picture 002/000001-00003.webp"),
        (member(2, 1, 3, "json"), b"{}", "002/000001-00003.json of the pack"),
        (member(2, 1, 3, "json"), b'{"size": [90, 120], "objects": {"0": "11"}}', "ids are 1 to 255"),
        (member(2, 1, 3, "json"), b'{"size": [90, 120], "objects": {"1": "11"}}', "add up to"),
        (member(2, 1, 3, "json"), b'{"size": [99999999, 120], "objects": {}}', "99999999 x 120 pixels"),
        (member(2, 1, 3, "json"), b'{"size": [9, 12], "objects": {}}', "is not of the size of its picture"),
    ],
)
def test_members_that_are_wrong_are_named(
    pack: Path, tmp_path: Path, name: str, content: bytes | None, why: str
) -> None:
    assert why in error_of(changed(pack, tmp_path / "changed.zip", name, content))


def test_broken_bytes_are_noticed(pack: Path) -> None:
    with zipfile.ZipFile(pack) as file:
        places = {name: file.getinfo(name).header_offset for name in file.namelist()}
    whole = bytearray(pack.read_bytes())
    for name, offset, why in (
        (member(0, 1, 0, "webp"), 200, "its checksum is wrong"),
        (member(0, 1, 0, "webp"), 0, "it does not begin where the file says"),
        (member(0, 1, 0, "json"), 60, f"is broken at {member(0, 1, 0, 'json')}"),
    ):
        broken = bytearray(whole)
        broken[places[name] + offset] ^= 0xFF
        pack.write_bytes(broken)
        found = error_of(pack)
        assert why in found and name in found and found.endswith("copy it again")


def test_members_of_other_tools_that_cannot_be_read(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(pack) as file, zipfile.ZipFile(other, "w", zipfile.ZIP_BZIP2) as out:
        for name in file.namelist():
            out.writestr(name, file.read(name))
    assert "is compressed in a way (12) that packs are not" in error_of(other)
    monkeypatch.setattr(archive_module, "MOST_BYTES", 100)
    assert re.search(r"is broken at index.json: it has \d+ bytes; copy it again", error_of(pack))


def test_a_pack_that_is_replaced_is_not_mixed_with_the_other(pack: Path) -> None:
    archive = Archive(pack)
    archive.read(INDEX)
    sent = pickle.dumps(archive)
    pack.rename(pack.with_name("old.zip"))
    pack.write_bytes(pack.with_name("old.zip").read_bytes() + b" ")
    assert archive.read(INDEX)  # open already
    with pytest.raises(UserError, match="was replaced while it was read"):
        pickle.loads(sent).read(INDEX)
