"""The workspace of an interactive session: gone on with, killed at any moment, of a newer version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.interactive.test_session import FIRST, SECOND, NewSession, equal, everything, labels
from univs.errors import UserError
from univs.interactive.fusion import linear


def test_a_workspace_goes_on_where_it_was(new_session: NewSession, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    with new_session(workspace=folder, fusion=linear) as session:
        session.add_object("cat")
        session.interact(1, {1: FIRST})
        session.propagate()
        session.interact(6, {1: SECOND})
        want, undoable = everything(session), session.undoable
    with new_session(workspace=folder, fusion=linear) as again, new_session(fusion=linear) as whole:
        assert equal(everything(again), want, 0) and again.objects == {1: "cat"}
        assert (again.undoable, again.pending, again.interacted) == (undoable, (6,), (1, 6))
        again.propagate()
        whole.add_object()
        for start, mask in ((1, FIRST), (6, SECOND)):
            whole.interact(start, {1: mask})
            whole.propagate()
        assert equal(everything(again), everything(whole), 1e-4)
        for _ in range(5):
            again.undo()
        assert again.objects == {} and not labels(again).any()
    with pytest.raises(UserError, match="was made at another size"):
        new_session(workspace=folder, size=20)


class Killed(BaseException):
    """The process is gone."""


def test_killed_at_any_moment_it_opens_with_all_that_was_finished(new_session: NewSession, tmp_path: Path) -> None:
    """The folder is copied as it lies there after every frame and step, and opened from the copy."""
    folder, copies = tmp_path / "work", []

    def copy(*_: object) -> None:
        copies.append(tmp_path / f"copy{len(copies)}")
        shutil.copytree(folder, copies[-1])

    with new_session(workspace=folder) as session:
        copy()
        session.add_object()
        copy()
        session.interact(4, {1: FIRST})
        copy()
        wants = [everything(session)] * 0
        session.propagate(progress=lambda done, total: (copy(), wants.append(everything(session))))  # type: ignore[func-returns-value]
        with pytest.raises(Killed):
            session.propagate(4, progress=lambda done, total: (_ for _ in ()).throw(Killed()))
        session.add_object()  # a bug in the progress leaves it usable
    assert len(copies) == 3 + 8
    for place, copied in enumerate(copies):
        with new_session(workspace=copied) as opened:
            assert opened.undoable == min(place, 3)
            if place >= 3:
                assert equal(everything(opened), wants[place - 3], 0) and opened.pending == (4,)
                assert opened.propagate() and opened.pending == ()


def test_a_newer_workspace_is_refused(new_session: NewSession, tmp_path: Path) -> None:
    new_session(workspace=tmp_path / "work").close()
    path = tmp_path / "work" / "workspace.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 9}))
    with pytest.raises(UserError, match="has version 9, this univs knows 1"):
        new_session(workspace=tmp_path / "work")
