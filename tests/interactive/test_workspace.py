"""The files of a session: whole, in few bits, and refused in one line where they are not what they should be."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from univs.errors import UserError
from univs.interactive.history import State
from univs.interactive.interactions import Click
from univs.interactive.workspace import MadeMask, VideoFacts, Workspace, exists

VIDEO = VideoFacts("film.mp4", 9, (30, 40), (30, 40))


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 70000, (30, 40)).astype(np.int32)
    masks = draws.random((2, 32, 48)).astype(np.float32)
    masks[0, 0, :3] = (0, 1, 0.5)
    work = Workspace(tmp_path, VIDEO)
    clicks = {70000: (Click(3.25, 4), Click(0, 1, False)), 3: (Click(1e6, -2),)}
    number = work.add_mask(MadeMask(labels, (3, 70000), clicks))
    first, second = work.add_round(), work.add_round()
    state = State({3: "cat"}).with_mask(4, number).started(first, 4).finished(4).started(second, 4)
    work.push(state)
    work.add_frame(first, 5, [3, 300], masks)
    work.add_frame(first, 6, [3], masks[:1])
    work.add_frame(second, 6, [300], masks[1:])
    work.close()
    again = Workspace(tmp_path)
    assert again.video == VIDEO and again.history.now == state and exists(tmp_path)
    made = again.mask(number)
    assert np.array_equal(made.labels, labels) and made.known == (3, 70000) and made.clicks == clicks
    both = State({3: "", 300: ""}, rounds=(first, second))
    later = replace(both.without(300), objects=both.objects, rounds=(first, second, 9))
    again._rounds[9] = set()
    for seen, index, want in (
        (both, 5, {3: masks[0], 300: masks[1]}),
        (both, 6, {300: masks[1]}),
        (replace(both, rounds=(first,)), 6, {3: masks[0]}),
        (both, 7, {}),
        (both.without(300), 5, {3: masks[0]}),
        (later, 5, {3: masks[0]}),  # its id came again
    ):
        found = again.frame(seen, index)
        assert found.keys() == want.keys()
        for one, mask in want.items():
            assert found[one].dtype == np.float32
            assert np.abs(found[one] - mask).max() <= 2**-17 * 1.01
    exact = again.frame(both, 5)[3][0, :3]
    assert exact[0] == 0 and exact[1] == 1, "what is certain stays so"
    again.close()


def test_what_nothing_needs_is_deleted(tmp_path: Path) -> None:
    with_files = Workspace(tmp_path, VIDEO)
    labels = MadeMask(np.zeros((30, 40), np.int32), (1,))
    state = State({1: ""})
    for index in range(3):
        state = state.with_mask(index, with_files.add_mask(labels)).started(with_files.add_round(), index)
        with_files.push(state)
    assert len(list((tmp_path / "masks").iterdir())) == len(list((tmp_path / "rounds").iterdir())) == 3
    with_files.history.move(-2)
    number = with_files.add_mask(labels)
    assert number == 4, "no number is used twice"
    with_files.push(with_files.history.now.with_mask(8, number))
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["00001.npz", "00004.npz"]
    assert [path.name for path in (tmp_path / "rounds").iterdir()] == ["0001"]
    with_files.add_mask(labels)  # and the process is killed before it is named
    for place in ("masks/.00009.77.tmp.npz", "rounds/0001/.00003.77.tmp.npz", ".workspace.77.tmp.json"):
        (tmp_path / place).touch()  # or while it writes
    with_files.close()
    Workspace(tmp_path).close()
    assert not list(tmp_path.rglob(".*"))
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["00001.npz", "00004.npz"]


def test_one_session_at_a_time(tmp_path: Path) -> None:
    work = Workspace(tmp_path / "new", VIDEO)
    with pytest.raises(UserError, match="is writing to the folder .*new"):
        Workspace(tmp_path / "new")
    work.close()
    Workspace(tmp_path / "new").close()


def refused(folder: Path, words: str, video: VideoFacts | None = None) -> None:
    with pytest.raises(UserError, match=words) as caught:
        Workspace(folder, video)
    assert "\n" not in str(caught.value)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "there is no workspace in")
    (tmp_path / "mine.txt").write_text("precious")
    refused(tmp_path, "holds other files than a workspace", VIDEO)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_other_videos_versions_and_damage_are_refused(tmp_path: Path) -> None:
    work = Workspace(tmp_path, VIDEO)
    number = work.add_mask(MadeMask(np.zeros((30, 40), np.int32), (1,)))
    work.push(State({1: ""}).with_mask(2, number))
    work.close()
    refused(tmp_path, "is of film.mp4: 9 frames of 40x30, not 8 of 40x30", VideoFacts("b", 8, (30, 40), (30, 40)))
    refused(tmp_path, "not 9 of 30x40", VideoFacts("b", 9, (40, 30), (30, 40)))
    path = tmp_path / "workspace.json"
    good = json.loads(path.read_text())
    for change, words in (
        ({"version": 2}, r"has version 2, this univs knows 1: get a newer univs"),
        ({"version": "x"}, "is damaged: version 'x'"),
        ({"states": []}, "is damaged: position 1 of 0"),
        ({"position": -1}, "is damaged: position -1"),
        ({"position": float("inf")}, "is damaged: cannot convert float infinity"),
        ({"video": ["a", "many", 30, 40, 30, 40]}, "is damaged: invalid literal"),
        ({"states": [{"objects": 3}]}, "is damaged"),
        ({"video": ["a", 9]}, "is damaged"),
    ):
        path.write_text(json.dumps({**good, **change}))
        refused(tmp_path, words)
    for text in ("", "{", "[]", '"a"', "null", "\x00"):
        path.write_text(text)
        refused(tmp_path, "workspace.json is damaged")
    path.write_text(json.dumps(good))
    again = Workspace(tmp_path)
    for content in (b"", b"PK\x03\x04", b"nothing"):
        (tmp_path / "masks" / f"{number:05}.npz").write_bytes(content)
        with pytest.raises(UserError, match=f"{number:05}.npz is damaged"):
            again.mask(number)
    again.close()


def test_a_byte_that_is_wrong_is_told_in_one_line(tmp_path: Path) -> None:
    """Of every byte of an archive: what is packed, and the words of the archive itself."""
    work = Workspace(tmp_path, VIDEO)
    labels = np.random.default_rng(0).integers(0, 3, (30, 40)).astype(np.int32)
    number = work.add_mask(MadeMask(labels, (1, 2)))
    path = tmp_path / "masks" / f"{number:05}.npz"
    good, told = path.read_bytes(), 0
    for place in range(0, len(good), 3):
        for bits in (1, 0xFF):
            path.write_bytes(good[:place] + bytes([good[place] ^ bits]) + good[place + 1 :])
            try:
                work.mask(number)
            except UserError as error:
                told += "is damaged" in str(error) and "\n" not in str(error)
    assert told > len(good) / 2
    work.close()


def test_files_of_an_older_version_have_no_clicks(tmp_path: Path) -> None:
    work = Workspace(tmp_path, VIDEO)
    number = work.add_mask(MadeMask(np.ones((30, 40), np.int32), (1,), {1: (Click(2, 3),)}))
    path = tmp_path / "masks" / f"{number:05}.npz"
    with zipfile.ZipFile(path) as packed:
        kept = {name: packed.read(name) for name in packed.namelist() if name != "clicks.npy"}
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in kept.items():
            packed.writestr(name, content)
    assert work.mask(number).known == (1,) and work.mask(number).clicks == {}
    work.close()


def test_hidden_files_of_others_stay(tmp_path: Path) -> None:
    """Only what a killed process left of this workspace's own files goes."""
    Workspace(tmp_path, VIDEO).close()
    theirs = [
        tmp_path / place
        for place in (".git/.index.77.tmp.json", ".cache/.00003.77.tmp.npz", ".notes.tmp", ".a.77.tmp.txt")
    ]
    ours = [tmp_path / place for place in (".workspace.77.tmp.json", "masks/.00003.77.tmp.npz")]
    for path in (*theirs, *ours):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    Workspace(tmp_path).close()
    assert all(path.exists() for path in theirs) and not any(path.exists() for path in ours)
