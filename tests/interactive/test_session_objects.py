"""Objects of an interactive session: ids that come again, and masks that a file says all of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.interactive.conftest import COUNT
from tests.interactive.test_session import FIRST, SECOND, NewSession, equal, everything, labels
from univs.errors import UserError
from univs.interactive.fusion import linear
from univs.interactive.session import Session
from univs.masks.mask_files import write_objects


def shown(session: Session, number: int) -> list[int]:
    """The frames that show an object."""
    return [index for index, found in enumerate(labels(session)) if (found == number).any()]


def test_a_removed_object_does_not_come_back_under_its_id(new_session: NewSession, tmp_path: Path) -> None:
    """Neither where somebody drew it nor where it was carried, nor in what a later round goes by."""
    folder = tmp_path / "work"
    with new_session(workspace=folder, fusion=linear) as session:
        assert session.add_object("cat") == 1
        session.interact(2, {1: FIRST})
        session.propagate()
        session.interact(6, {1: FIRST})
        before = everything(session)
        assert shown(session, 1)
        session.remove_object(1)
        assert session.add_object("dog", 1) == 1
        assert not labels(session).any() and not everything(session)
        session.interact(6, {1: SECOND})
        assert shown(session, 1) == [6]
    with new_session(workspace=folder, fusion=linear) as session, new_session(fusion=linear) as fresh:
        assert session.objects == {1: "dog"} and shown(session, 1) == [6]
        change = session._changes(session._state, 6, {1: None})[1]
        assert torch.equal(change.positive, session.places.mask(SECOND)) and not change.negative.any()
        session.propagate(6)
        fresh.add_object("dog")
        fresh.interact(6, {1: SECOND})
        fresh.propagate()
        want = everything(fresh)
        assert equal(
            {key: mask for key, mask in everything(session).items() if key[0] > 2},
            {key: mask for key, mask in want.items() if key[0] > 2},
            1e-4,
        ), "the cat is nowhere in its memory"
        for _ in range(4):
            session.undo()
        assert session.objects == {1: "cat"} and equal(everything(session), before)


def test_a_new_object_gets_an_id_that_none_had(new_session: NewSession) -> None:
    with new_session() as session:
        session.interact(3, {session.add_object("cat"): FIRST})
        session.remove_object(1)
        assert session.add_object("dog") == 2 and not labels(session).any()
        session.add_object("far", 65535)
        assert session.add_object() == 1 and not labels(session).any(), "lower ids are free"
        with pytest.raises(UserError, match="65535 is taken"):
            session.add_object("", 65535)


def test_an_imported_object_has_nothing_of_a_removed_one(new_session: NewSession, tmp_path: Path) -> None:
    with new_session() as session:
        session.interact(2, {session.add_object("cat"): FIRST})
        session.propagate()
        session.remove_object(1)
        write_objects(tmp_path / "mask.png", SECOND.astype(np.uint16))
        session.import_mask(5, tmp_path / "mask.png")
        assert session.objects == {1: ""} and shown(session, 1) == [5]
        assert [index for index in range(COUNT) if session.probabilities(index)] == [5]


def test_a_mask_file_says_all_of_its_frame(new_session: NewSession, tmp_path: Path) -> None:
    with new_session() as session:
        cat, dog = session.add_object("cat"), session.add_object("dog")
        session.interact(3, {cat: FIRST, dog: SECOND & ~FIRST})
        write_objects(tmp_path / "mask.png", (dog * SECOND).astype(np.uint16))
        result = session.import_mask(3, tmp_path / "mask.png")
        assert np.array_equal(result.labels, dog * SECOND), "the cat is not in the file, so not on the frame"
