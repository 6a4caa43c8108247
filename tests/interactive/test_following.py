"""A UniVS in an interactive session: it carries masks as it follows what it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.streaming.conftest import moving_squares, small_model
from univs import Mask
from univs.errors import UserError
from univs.interactive.fusion import learned, linear
from univs.interactive.session import Session
from univs.models.fusion import FusionNetwork
from univs.models.univs import UniVS
from univs.streaming import Session as StreamingSession
from univs.trackers.encoded_frame import EncodedFrame
from univs.trackers.frame import tracker as frame_tracker
from univs.trackers.frame.tracker import FrameTracker
from univs.trackers.object_prompts import ObjectPrompt

COUNT = 9
FRAMES, FIRST = moving_squares(COUNT)
MASKS = {number: FIRST == number for number in (1, 2, 3)}
NewSession = Callable[..., Session]


@pytest.fixture(scope="module")
def model() -> UniVS:
    return small_model()


@pytest.fixture
def new_session(model: UniVS) -> NewSession:
    """A session with three objects; options as for `Session`."""

    def make(frames: list[NDArray[np.uint8]] = FRAMES, **options: Any) -> Session:
        session = Session(model, frames, size=0, **options)
        for number in MASKS:
            session.add_object(object_id=number)
        return session

    return make


def shifted(step: int) -> dict[int, NDArray[np.bool_]]:
    """The true masks of a later frame."""
    return {number: np.roll(mask, step, 1) for number, mask in MASKS.items()}


def labels(session: Session) -> NDArray[np.integer]:
    return np.stack([result.labels for result in session.results()])


def streamed(model: UniVS, frames: list[NDArray[np.uint8]]) -> NDArray[np.integer]:
    """What a streaming session says, the masks shown on the first frame; it remembers as the interactive one does."""
    said = [Mask(number, mask) for number, mask in MASKS.items()]
    with StreamingSession(model, size=0, dense_frames=6) as session:
        return np.stack([session.step(frame, said if not t else ()).labels for t, frame in enumerate(frames)])


def test_forward_is_what_a_streaming_session_says(model: UniVS, new_session: NewSession) -> None:
    with new_session() as session:
        session.interact(0, MASKS)
        assert session.propagate()
        found, want = labels(session), streamed(model, FRAMES)
    assert np.array_equal(found[0], FIRST) and len(np.unique(want[1:])) == 4
    assert (found != want).mean() < 2e-3, "but for what is rounded on disk"


def test_backward_is_the_same_on_the_reversed_video(model: UniVS, new_session: NewSession) -> None:
    with new_session(FRAMES[::-1]) as session:
        session.interact(COUNT - 1, MASKS)
        session.propagate()
        found = labels(session)[::-1]
    assert (found != streamed(model, FRAMES)).mean() < 2e-3


def test_probabilities_of_a_frame_add_up_to_one_and_stop_at_the_next_mask(new_session: NewSession) -> None:
    with new_session() as session:
        session.interact(5, shifted(5))
        session.interact(2, shifted(2))
        session.propagate(2)
        assert [bool(session.probabilities(index)) for index in range(COUNT)] == [True] * 6 + [False] * 3
        for index in (0, 1, 3, 4):
            masks = torch.stack(list(session.probabilities(index).values()))
            assert masks.shape[0] == 3 and float(masks.min()) >= 0 and float(masks.sum(0).max()) <= 1 + 2e-2
        assert session.pending == (5,)
        session.propagate()
        assert not session.pending and session.probabilities(8)


def test_all_interacted_frames_are_shown_first_and_stay(
    new_session: NewSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The farthest first, so that the one from which masks are carried is the frame before."""
    seen: list[tuple[FrameTracker, NDArray[np.uint8], list[int]]] = []
    plain = FrameTracker.follow

    def follow(self: FrameTracker, frame: EncodedFrame, prompts: Mapping[int, ObjectPrompt]) -> Any:
        seen.append((self, frame.image, sorted(prompts)))
        return plain(self, frame, prompts)

    monkeypatch.setattr(frame_tracker.FrameTracker, "follow", follow)
    given = (4, 0, 1, 7, 3, 2)
    with new_session(memory_frames=2, memory_interval=1) as session:
        for index in given:
            session.interact(index, shifted(index))
        session.propagate(4)
    trackers = list(dict.fromkeys(id(tracker) for tracker, _, _ in seen))
    assert len(trackers) == 1, "backward there is nothing to carry to"
    order = [next(i for i, frame in enumerate(FRAMES) if frame is image) for _, image, _ in seen]
    assert order == [0, 1, 7, 2, 3, 4, 5, 6]
    assert [ids for _, _, ids in seen] == [[1, 2, 3]] * 6 + [[], []]
    dense = seen[0][0]._dense
    assert dense is not None and sum(entry.pinned for entry in dense.schedule.entries) == 6
    assert len(dense.schedule.entries) == 8, "every frame is kept, with an interval of one"


def test_objects_may_be_made_known_on_different_frames_and_masks_may_be_empty(new_session: NewSession) -> None:
    nobody = np.zeros_like(FIRST, bool)
    with new_session() as session:
        session.interact(3, {1: shifted(3)[1], 2: nobody})
        late = session.add_object("late")
        session.interact(6, {late: shifted(6)[3]})
        session.propagate()
        found = session.probabilities(4)
        assert set(found) == {1, 2, 3, late} and all(bool(mask.isfinite().all()) for mask in found.values())
        assert float(found[2].max()) < 0.5, "it was said not to be there"


def test_the_order_of_objects_is_nothing(new_session: NewSession) -> None:
    other = {1: 3, 2: 1, 3: 2}
    with new_session() as one, new_session() as two:
        one.interact(4, shifted(4))
        two.interact(4, {other[number]: mask for number, mask in shifted(4).items()})
        one.propagate()
        two.propagate()
        for index in (0, 3, 8):
            found, permuted = one.probabilities(index), two.probabilities(index)
            for number, mask in found.items():
                torch.testing.assert_close(mask, permuted[other[number]], atol=1e-2, rtol=0)


def test_the_nearer_mask_counts_the_more_between_two(new_session: NewSession) -> None:
    with new_session(fusion=linear) as fused, new_session() as newest:
        for session in (fused, newest):
            session.interact(0, MASKS)
            session.propagate()
        before = fused.probabilities(2)[1]
        for session in (fused, newest):
            session.interact(8, {1: MASKS[3]})
            session.propagate()
        current, mixed = newest.probabilities(2)[1], fused.probabilities(2)[1]
    inside = (current - before).abs() > 0.2
    assert bool(inside.any())
    nearer = (mixed - before).abs() < (mixed - current).abs()
    assert float(nearer[inside].float().mean()) > 0.9, "frame 2 of 8 is nearer to the first"


def test_what_cannot_be_is_refused_in_one_line(model: UniVS, new_session: NewSession) -> None:
    for options, words in (
        ({"top_k": 20}, "unknown setting 'top_k'; known: directions, memory_frames, memory_interval"),
        ({"memory_frames": 1}, "memory_frames must be at least 2"),
        ({"directions": "left"}, "directions"),
        ({"fusion": learned(FusionNetwork())}, "a learned fusion reads a space-time memory"),
    ):
        with pytest.raises(UserError, match=words):
            new_session(**options)
    with pytest.raises(UserError, match="needs what remembers frames"):
        Session(small_model(dense_memory=None), FRAMES)


def test_one_way_alone(new_session: NewSession) -> None:
    with new_session(directions="backward") as session:
        session.interact(4, shifted(4))
        session.propagate()
        assert [bool(session.probabilities(index)) for index in range(COUNT)] == [True] * 5 + [False] * 4
