from __future__ import annotations

from pathlib import Path

import pytest

from univs.files import atomic_path, cache_folder, folders_in, from_home, is_stray


def test_takes_its_name_only_when_whole(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    with atomic_path(final) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path and temporary.suffix == ".txt" and not final.exists()
    assert final.read_text() == "new" and list(tmp_path.iterdir()) == [final]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    final.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(final) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert final.read_text() == "old" and list(tmp_path.iterdir()) == [final]


def test_what_systems_leave_behind_is_no_folder_of_a_video(tmp_path: Path) -> None:
    for name in ("b", "a", "__MACOSX", ".hidden", "._a", "@eaDir"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    assert folders_in(tmp_path) == ["a", "b"]
    assert all(map(is_stray, ("._00001.png", ".DS_Store", "Thumbs.db", "desktop.ini"))) and not is_stray("00001.png")


def test_errors_name_the_file_and_not_its_hidden_beginnings(tmp_path: Path) -> None:
    for final in (tmp_path / "none" / "a.txt", tmp_path / "folder"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        with pytest.raises(OSError) as caught, atomic_path(final) as temporary:
            assert final.parent != tmp_path, "a folder in the way is found before the work"
            temporary.write_text("new")
        assert caught.value.filename == str(final)
    for folder in (".", "/", ""):
        with pytest.raises(IsADirectoryError), atomic_path(folder):
            pass
    with pytest.raises(FileNotFoundError) as caught, atomic_path(tmp_path / "a.txt"):
        (tmp_path / "other.txt").read_text()
    assert caught.value.filename == str(tmp_path / "other.txt"), "errors of other files keep their names"
    with pytest.raises(FileNotFoundError) as caught, atomic_path(tmp_path / "a.txt"):
        pass  # nothing was written: there is nothing that could take the name
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / "a.txt"), None)


def test_home_and_the_home_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert from_home("~/a b") == Path("/home/me/a b") and from_home(Path("~")) == Path("/home/me")
    assert from_home("a/~/b") == Path("a/~/b")
    monkeypatch.setenv("UNIVS_CACHE", "~nobody-of-this-name/x")
    assert cache_folder() == Path("~nobody-of-this-name/x")
