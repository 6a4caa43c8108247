"""Output folders of one run at a time, with processes that are really killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from univs import claim as claim_module
from univs.claim import MARK, check_file, claim_folder
from univs.errors import UserError

HOLD = (
    "import sys, time; from pathlib import Path; from univs.claim import claim_folder\n"
    "with claim_folder(Path(sys.argv[1])): print(flush=True); time.sleep(60)"
)


def hold(folder: Path) -> subprocess.Popen[bytes]:
    """A process that has claimed a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    return process


def test_a_second_run_is_refused_in_one_line_and_a_killed_one_is_known(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "out"
    first = hold(folder)
    with (
        pytest.raises(UserError, match=rf"process {first.pid}\) is writing .*out.*with out="),
        claim_folder(folder, "out="),
    ):
        pass
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert (folder / MARK).exists()
    with claim_folder(folder) as claim:
        assert claim.unfinished and (folder / MARK).read_text().split() == [str(os.getpid())]
        with pytest.raises(UserError, match="another run"), claim_folder(folder):
            pass
        (folder / "result").write_text("")
    assert [path.name for path in folder.iterdir()] == ["result"]
    with claim_folder(folder) as claim:
        assert not claim.unfinished


def test_a_folder_that_nothing_was_written_to_does_not_stay(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no weights"), claim_folder(tmp_path / "a" / "out"):
        raise UserError("no weights")
    assert not any(tmp_path.iterdir())
    with claim_folder(tmp_path):
        pass
    assert tmp_path.is_dir()


def test_the_mark_stays_after_a_bug(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), claim_folder(tmp_path):
        raise RuntimeError
    with pytest.raises(UserError), claim_folder(tmp_path) as claim:
        assert claim.unfinished
        raise UserError("before anything was written")
    with claim_folder(tmp_path) as claim:
        assert claim.unfinished


def test_windows_removes_no_open_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the mark is closed first, and stays if another run has opened it in between."""
    remove, opening, closing, opened = Path.unlink, os.open, os.close, set[int]()

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if opened:
            raise PermissionError(13, "in use by another process")
        remove(path, missing_ok)

    def note(path: Path, *given: int) -> int:
        opened.add(descriptor := opening(path, *given))
        return descriptor

    def forget(descriptor: int) -> None:
        opened.discard(descriptor)
        closing(descriptor)

    windows = SimpleNamespace(LK_NBLCK=2, locking=lambda descriptor, mode, count: None)
    monkeypatch.setitem(sys.modules, "msvcrt", windows)
    monkeypatch.setattr(claim_module, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(Path, "unlink", unlink)
    monkeypatch.setattr(claim_module, "os", SimpleNamespace(**{**vars(os), "open": note, "close": forget}))
    with claim_folder(tmp_path):
        assert (tmp_path / MARK).exists()
    assert not any(tmp_path.iterdir())
    with claim_folder(tmp_path):
        other = note(tmp_path / MARK, os.O_RDWR)
    assert (tmp_path / MARK).exists()
    forget(other)


def test_what_is_no_folder_or_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(UserError, match=r"file.* is not a folder; name another one with --out"), claim_folder(path):
            pass
    closed = Path("/proc/univs-out")
    if closed.parent.is_dir():
        with pytest.raises(UserError, match="cannot write to the folder /proc/univs-out: "), claim_folder(closed):
            pass
    if os.name == "posix" and os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(UserError, match="Permission denied"), claim_folder(tmp_path / "closed"):
            pass


def test_files_that_cannot_be_written_are_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("whole")
    for name, message in (
        (tmp_path, r"is a folder, and a file is to be written; choose another out="),
        (tmp_path / "file" / "a.mp4", r"a.mp4 cannot be written: .*file is not a folder; choose another out="),
        (tmp_path / "none" / "a.mp4", r"a.mp4 cannot be written: there is no folder .*none; choose another out="),
        (Path("/proc/a.mp4"), r"^/proc/a.mp4: cannot write to the folder /proc: No such .*; choose another out="),
    ):
        if name.parent != Path("/proc") or name.parent.is_dir():
            with pytest.raises(UserError, match=message):
                check_file(name, "out=")
    check_file(tmp_path / "file")
    check_file(tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "whole"
