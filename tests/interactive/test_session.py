"""An interactive session: rounds, undo, objects, import, a workspace that survives, and none of the known defects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.interactive.conftest import COUNT, HEIGHT, WIDTH, box
from univs.errors import UserError
from univs.interactive.carriers import MemoryCarrier
from univs.interactive.fusion import TwoMasks, linear
from univs.interactive.interactions import Click, Interactions, Stroke
from univs.interactive.session import Session, with_background
from univs.masks.mask_files import write_labels, write_objects
from univs.masks.soft_aggregation import joint_probabilities
from univs.models.space_time_memory import SpaceTimeMemory
from univs.video.window import FrameWindow

NewSession = Callable[..., Session]
FIRST, SECOND, THIRD = box(4, 20, 4, 22), box(14, 28, 24, 38), box(2, 12, 20, 36)


def labels(session: Session) -> np.ndarray:
    return np.stack([result.labels for result in session.results()])


def everything(session: Session) -> dict[tuple[int, int], np.ndarray]:
    """(frame, object) -> probabilities."""
    found = {index: session.probabilities(index) for index in range(COUNT)}
    return {(index, number): mask.numpy() for index, masks in found.items() for number, mask in masks.items()}


def equal(one: dict[Any, np.ndarray], other: dict[Any, np.ndarray], tolerance: float = 1e-6) -> bool:
    return one.keys() == other.keys() and all(np.abs(one[key] - other[key]).max() <= tolerance for key in one)


def test_the_public_name() -> None:
    import univs.interactive as interactive

    assert interactive.Session is Session
    with pytest.raises(AttributeError, match="no attribute 'Sessions'"):
        _ = interactive.Sessions


def test_an_interaction_shows_at_once_and_on_its_frame_alone(new_session: NewSession) -> None:
    with new_session() as session:
        cat, dog = session.add_object("cat"), session.add_object()
        result = session.interact(3, {cat: FIRST, dog: SECOND | FIRST[:, ::-1]})
        assert np.array_equal(result.labels == dog, SECOND | FIRST[:, ::-1]), "of two masks the later counts"
        assert np.array_equal(result.labels == cat, FIRST & ~(SECOND | FIRST[:, ::-1]))
        assert (
            result.object_ids == (1, 2) and dict(result.names) == {1: "cat"} and dict(result.scores) == {1: 1.0, 2: 1.0}
        )
        assert [index for index, found in enumerate(labels(session)) if found.any()] == [3]
        assert session.interacted == (3,) and session.pending == (3,)
        later = session.interact(3, {cat: THIRD})
        assert np.array_equal(later.labels == cat, THIRD)
        assert np.array_equal(later.labels == dog, (SECOND | FIRST[:, ::-1]) & ~THIRD), "who is not named stays"


def test_a_round_goes_both_ways_and_leaves_interacted_frames_as_they_are(new_session: NewSession) -> None:
    with new_session() as session:
        number = session.add_object()
        session.interact(3, {number: FIRST})
        told: list[tuple[int, int]] = []
        assert session.propagate(progress=lambda *said: told.append(said))  # type: ignore[arg-type]
        assert told == [(done, 8) for done in range(1, 9)] and session.pending == ()
        assert all(session.probabilities(index) for index in range(COUNT))
        first = everything(session)
        session.interact(6, {number: SECOND})
        assert session.propagate()
        assert np.array_equal(session.result(3).labels == number, FIRST)
        assert np.array_equal(session.result(6).labels == number, SECOND)
        second = everything(session)
        changed = [index for index in range(COUNT) if np.abs(first[index, 1] - second[index, 1]).max() > 1e-3]
        assert changed == [4, 5, 6, 7, 8], "frames beyond the bound stay"


def test_frames_between_two_interacted_ones_are_fused(new_session: NewSession) -> None:
    asked: list[tuple[TwoMasks, Tensor]] = []

    def fusion(masks: TwoMasks) -> Tensor:
        out = linear(masks)
        asked.append((masks, out))
        return out

    with new_session(fusion=fusion) as session:
        number = session.add_object()
        session.interact(1, {number: FIRST})
        session.propagate()
        assert not asked, "there is nothing to fuse with"
        before = everything(session)
        session.interact(5, {number: SECOND})
        session.propagate()
        after = everything(session)
        assert [round(masks.shares.to_previous * 4) for masks, _ in asked] == [3, 2, 1]
        for index, (masks, out) in zip((4, 3, 2), asked, strict=True):
            assert np.abs(masks.previous[0].numpy() - before[index, 1]).max() < 1e-6
            assert np.abs(joint_probabilities(out)[1].numpy() - after[index, 1]).max() < 1e-5
            (change,) = masks.changes
            mask = session.places.mask(SECOND).numpy()
            assert np.abs(change.positive.numpy() - np.clip(mask - before[5, 1], 0, 1)).max() < 1e-6
            assert np.abs(change.negative.numpy() - np.clip(before[5, 1] - mask, 0, 1)).max() < 1e-6


def test_a_later_interaction_on_a_frame_takes_the_place_of_the_earlier(new_session: NewSession) -> None:
    """Also where the earlier one was carried: its memory is gone."""
    with new_session() as session, new_session() as other:
        for one in (session, other):
            one.add_object()
        session.interact(2, {1: THIRD})
        session.propagate()
        session.interact(2, {1: FIRST})
        assert session.pending == (2,) and session.interacted == (2,)
        session.propagate()
        other.interact(2, {1: FIRST})
        other.propagate()
        assert equal(everything(session), everything(other), 1e-4)
        assert isinstance(session.carrier, MemoryCarrier)
        assert [len(entries) for entries in session.carrier.entries.values()] == [1]


def test_what_changed_counts_from_the_last_propagation(new_session: NewSession) -> None:
    """Strokes in between are one change; after a propagation the mask itself is what was there."""
    with new_session() as session:
        session.add_object()
        session.interact(2, {1: THIRD})
        session.interact(2, {1: FIRST})
        change = session._changes(session._state, 2, {1: None})[1]
        assert torch.equal(change.positive, session.places.mask(FIRST)) and not change.negative.any()
        session.propagate()
        session.interact(2, {1: SECOND})
        change = session._changes(session._state, 2, {1: None})[1]
        assert torch.equal(change.negative, session.places.mask(FIRST & ~SECOND))
        assert torch.equal(change.positive, session.places.mask(SECOND & ~FIRST))


def test_masks_of_several_frames_wait_for_their_own_rounds(new_session: NewSession) -> None:
    """A mask belongs to its frame, whatever is looked at or made in between."""
    with new_session() as session:
        session.add_object()
        session.interact(6, {1: SECOND})
        session.interact(2, {1: FIRST})
        session.result(8)
        assert session.pending == (6, 2)
        assert session.propagate()
        assert session.pending == () and len(session._state.rounds) == 2
        assert np.array_equal(session.result(2).labels == 1, FIRST)
        assert np.array_equal(session.result(6).labels == 1, SECOND)
        assert session.undoable == 1 + 2 + 2


def test_any_number_of_objects_comes_and_goes(new_session: NewSession) -> None:
    with new_session() as session:
        ids = [session.add_object() for _ in range(10)] + [session.add_object("far", 300)]
        assert ids == [*range(1, 11), 300] and session.add_object() == 301
        session.interact(0, {number: box(2 * n, 2 * n + 4, 3 * n, 3 * n + 6) for n, number in enumerate(ids)})
        session.propagate()
        assert set(session.probabilities(5)) == {*ids, 301}, "an object without pixels is known not to be there"
        session.rename_object(300, "near")
        assert session.objects[300] == "near"
        late = session.add_object("late")
        assert late == 302
        session.interact(4, {late: THIRD})
        session.propagate()
        assert late in session.probabilities(6) and late not in session.probabilities(0)
        session.remove_object(300)
        assert 300 not in session.objects and all(300 not in session.probabilities(index) for index in range(COUNT))
        assert not (session.result(0).labels == 300).any()
        session.interact(8, {1: FIRST})
        session.propagate()
        assert 300 not in session.probabilities(6)
        session.undo(), session.undo(), session.undo()
        assert session.objects[300] == "near" and (session.result(0).labels == 300).any()
        for number, words in ((1, "1 is taken"), (0, "0 is not 1"), (70000, "70000 is not"), (True, "object_id must")):
            with pytest.raises(UserError, match=words):
                session.add_object("", number)


def test_undo_and_redo_over_interactions_and_rounds(new_session: NewSession) -> None:
    with new_session(fusion=linear) as session:
        states = [(labels(session), session.objects, session.pending)]

        def note() -> None:
            states.append((labels(session), session.objects, session.pending))

        def same(place: int) -> bool:
            found, objects, pending = states[place]
            return np.array_equal(labels(session), found) and (session.objects, session.pending) == (objects, pending)

        for step in (
            lambda: session.add_object("cat"),
            lambda: session.interact(1, {1: FIRST}),
            lambda: session.propagate(),
            lambda: session.interact(6, {1: SECOND}),
            lambda: session.interact(6, {1: THIRD}),
            lambda: session.propagate(),
            lambda: session.remove_object(1),
        ):
            step()
            note()
        assert session.undoable == 7 and session.redoable == 0
        for place in range(6, -1, -1):
            session.undo()
            assert same(place)
        with pytest.raises(UserError, match="nothing to undo"):
            session.undo()
        for place in range(1, 8):
            session.redo()
            assert same(place)
        with pytest.raises(UserError, match="nothing to redo"):
            session.redo()
        for _ in range(4):
            session.undo()
        session.interact(6, {1: FIRST})
        assert session.redoable == 0 and session.undoable == 4
        session.propagate()
        assert not np.array_equal(labels(session), states[6][0])


def test_it_is_cancelled_between_frames_and_goes_out_again(new_session: NewSession) -> None:
    with new_session(fusion=linear) as session, new_session(fusion=linear) as other:
        for one in (session, other):
            one.add_object()
            one.interact(6, {1: SECOND})
            one.propagate()
            one.interact(2, {1: FIRST})
        before, done = everything(session), []
        assert not session.propagate(progress=lambda *said: done.append(said), cancelled=lambda: len(done) == 2)
        assert done == [(1, 5), (2, 5)] and session.pending == (2,)
        changed = {key[0] for key, mask in everything(session).items() if np.abs(mask - before[key]).max() > 1e-3}
        assert changed == {3, 4}
        assert session.propagate() and session.pending == ()
        other.propagate()
        assert equal(everything(session), everything(other), 1e-4), "nothing is fused twice"
        session.undo(), session.undo()
        assert equal(everything(session), before)


def test_nothing_else_is_done_while_it_runs_but_results_are_read(new_session: NewSession) -> None:
    with new_session() as session:
        session.add_object()
        session.interact(2, {1: FIRST})
        seen: list[int] = []

        def look(done: int, total: int) -> None:
            seen.append(sum(bool(session.probabilities(index)) for index in range(COUNT)))
            for act in (session.undo, session.add_object, session.propagate, lambda: session.interact(1, {1: FIRST})):
                with pytest.raises(UserError, match="a propagation is running"):
                    act()

        session.propagate(progress=look)
        assert seen == [done + 1 for done in range(1, COUNT)]


def test_what_is_said_becomes_masks_at_once(new_session: NewSession, film: list[np.ndarray]) -> None:
    asked: list[tuple[np.ndarray, np.ndarray]] = []

    class Square:
        takes: frozenset[Any] = frozenset({"clicks"})

        def segment(self, frame: np.ndarray, current: np.ndarray, said: Interactions) -> np.ndarray:
            asked.append((frame, current))
            (click,) = said.clicks
            mask = np.zeros((HEIGHT, WIDTH), np.float32)
            mask[int(click.y) :, int(click.x) :] = 0.9
            return mask

    with new_session() as session:
        cat, dog = session.add_object(), session.add_object()
        session.interact(3, {cat: FIRST, dog: SECOND})
        result = session.segment(3, Square(), {dog: Interactions(clicks=(Click(30, 20),))})
        assert np.array_equal(asked[0][0], film[3]) and np.array_equal(asked[0][1] > 0, SECOND)
        assert np.array_equal(result.labels == dog, box(20, HEIGHT, 30, WIDTH)), "what it was before is no more"
        assert np.array_equal(result.labels == cat, FIRST) and session.pending == (3,)
        with pytest.raises(UserError, match="there is no object 9"):
            session.segment(3, Square(), {9: Interactions(clicks=(Click(3, 2),))})
        with pytest.raises(UserError, match="takes clicks and not strokes"):
            session.segment(3, Square(), {cat: Interactions(strokes=(Stroke(((3, 2),)),))})


def test_masks_made_elsewhere(new_session: NewSession, tmp_path: Path) -> None:
    with new_session() as session:
        session.add_object("cat", 7)
        write_objects(tmp_path / "mask.png", 7 * FIRST.astype(np.uint16) + 300 * (SECOND & ~FIRST))
        result = session.import_mask(4, tmp_path / "mask.png")
        assert np.array_equal(result.labels == 7, FIRST) and np.array_equal(result.labels == 300, SECOND & ~FIRST)
        assert session.objects == {7: "cat", 300: ""} and session.pending == (4,)
        unknown = np.where(THIRD, 255, 7 * SECOND).astype(np.uint8)
        write_labels(tmp_path / "void.png", unknown)
        later = session.import_mask(4, tmp_path / "void.png")
        assert np.array_equal(later.labels[THIRD], result.labels[THIRD]), "where nothing is known, what was there stays"
        assert np.array_equal(later.labels[~THIRD] == 7, SECOND[~THIRD])
        Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "small.png")
        with pytest.raises(UserError, match="small.png is 5x5 pixels, the frames 40x30"):
            session.import_mask(4, tmp_path / "small.png")


def test_what_cannot_be_is_refused_in_one_line(
    new_session: NewSession, network: SpaceTimeMemory, film: list[np.ndarray], tmp_path: Path
) -> None:
    with new_session() as session:
        session.add_object()
        for act, words in (
            (lambda: session.interact(9, {1: FIRST}), r"there is no frame 9; the video has 9 \(from 0\)"),
            (lambda: session.interact(-1, {1: FIRST}), "there is no frame -1"),
            (lambda: session.interact(1.5, {1: FIRST}), "frame must be a whole number"),  # type: ignore[arg-type]
            (lambda: session.interact(1, {2: FIRST}), "there is no object 2; known: 1"),
            (
                lambda: session.interact(1, {1: FIRST[:9]}),
                r"object 1 has shape \(9, 40\), the frames \(30, 40\)",
            ),
            (lambda: session.rename_object(3, "x"), "there is no object 3"),
            (lambda: session.remove_object(3), "there is no object 3"),
            (lambda: session.propagate(), "there is nothing to propagate"),
            (lambda: session.propagate(3), "frame 3 has no mask of its own"),
            (lambda: session.result(99), "there is no frame 99"),
        ):
            with pytest.raises(UserError, match=words) as caught:
                act()
            assert "\n" not in str(caught.value)
        assert session.undoable == 1 and not labels(session).any()
    for options, words in (
        ({"top_k": 0}, "top_k"),
        ({"dense_frames": 3}, "unknown setting 'dense_frames'; known: directions, memory_frames"),
        ({"size": -3}, "size"),
    ):
        with pytest.raises(UserError, match=words):
            new_session(**options)
    with pytest.raises(UserError, match="can be read only once"):
        Session(network, iter(film))
    with pytest.raises(UserError, match="needs what remembers frames"):
        Session(None, film)  # type: ignore[arg-type]


def test_memory_does_not_hold_the_video(new_session: NewSession, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_session() as session:
        session.frames = FrameWindow(session.frames.reader, capacity=2)
        session.add_object()
        session.interact(4, {1: FIRST})
        session.propagate()
        assert len(session.frames._kept) == 2
        assert isinstance(session.carrier, MemoryCarrier)
        assert len(session.carrier.entries) == 1, "the memory of interacted frames alone"
        folder = session.workspace.folder
        assert len(list((folder / "rounds" / "0001").iterdir())) == COUNT - 1
    assert not folder.exists(), "a temporary workspace goes with its session"


def test_results_have_the_size_of_the_frame(network: SpaceTimeMemory, film: list[np.ndarray]) -> None:
    with Session(network, film, size=20) as session:
        session.add_object()
        session.interact(0, {1: FIRST})
        session.propagate()
        assert session.places.geometry.input_height == 20
        for index in (0, 3):
            assert session.result(index).labels.shape == (HEIGHT, WIDTH)
        assert session.probabilities(3)[1].shape == (32, 32)
        joint = with_background(torch.stack(list(session.probabilities(3).values())))
        assert np.array_equal(session.result(3).labels, session.places.labels(joint, (0, 1)))
        torch.testing.assert_close(joint.sum(0), torch.ones(32, 32))
        inner = session.places.inner(joint)
        inside = inner[1][inner[1] > inner[0]]
        assert dict(session.result(3).scores) == {1: pytest.approx(float(inside.mean()) if len(inside) else 0)}
        session.add_object()
        assert session.result(3).scores[2] == 0, "nothing is known of it"


def test_masks_may_go_forward_alone(new_session: NewSession) -> None:
    """The frames after the interacted one are as ever, those before it stay empty; progress counts what is done."""
    told: list[tuple[int, int]] = []
    with new_session(directions="forward") as forward, new_session() as both:
        for session in (forward, both):
            cat = session.add_object()
            session.interact(3, {cat: FIRST})
        assert forward.propagate(progress=lambda *said: told.append(said))  # type: ignore[arg-type]
        both.propagate()
        assert told == [(done, COUNT - 4) for done in range(1, COUNT - 3)]
        one, other = labels(forward), labels(both)
    assert not one[:3].any() and np.array_equal(one[3:], other[3:])
    with pytest.raises(UserError, match="directions"):
        new_session(directions="sideways")
