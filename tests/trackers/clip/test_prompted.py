"""Objects followed by overlapping clips: what is answered when, and what is remembered."""

from __future__ import annotations

import pytest

from tests.streaming.conftest import moving_squares, small_model
from univs.errors import UserError
from univs.models.univs import UniVS
from univs.prompts import Box, Mask, Points, Prompt
from univs.results import FrameResult
from univs.streaming import Session, segment

FRAMES, FIRST = moving_squares(9)
RELEASED = {
    "way": "clip",
    "clip_length": 3,
    "clip_stride": 1,
    "initial_query": "frame",
    "memory_encoding": "next_clip",
    "token_frames": 4,
}


@pytest.fixture(scope="module")
def model() -> UniVS:
    return small_model(dense_memory=None, streaming=RELEASED)


def masks(*object_ids: int) -> list[Prompt]:
    return [Mask(object_id, FIRST == object_id) for object_id in object_ids]


def test_results_come_when_they_are_final_and_finish_gives_the_rest(model: UniVS) -> None:
    with Session(model) as session:
        counts = []
        for index, frame in enumerate(FRAMES):
            results = session.push(frame, masks(1, 2) if index == 0 else ())
            counts.append([result.frame_index for result in results])
        video = session.finish()
        assert counts == [[], [], *([index] for index in range(7))]
        assert [result.frame_index for result in video.rest] == [7, 8]
        assert video.num_frames == 9 and [track.object_id for track in video.tracks] == [1, 2]
        assert session.flush() == []
        with pytest.raises(UserError, match="this video has ended"):
            session.push(FRAMES[0])


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (3, 1), (3, 2), (3, 3), (5, 2), (20, 1)])
def test_every_frame_is_answered_once_and_encoded_once(
    model: UniVS, length: int, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    plain = UniVS.encode_image
    monkeypatch.setattr(UniVS, "encode_image", lambda self, x: encoded.append(len(x)) or plain(self, x))
    results = list(segment(model, FRAMES, {0: masks(1)}, clip_length=length, clip_stride=stride))
    assert [result.frame_index for result in results] == list(range(9)) and sum(encoded) == 9
    assert (results[0].labels == (FIRST == 1)).all() and results[0].scores == {1: 1.0}


def test_one_frame_clips_answer_at_once(model: UniVS) -> None:
    with Session(model, clip_length=1) as session:
        assert (session.step(FRAMES[0], masks(1)).labels == (FIRST == 1)).all()
        assert session.step(FRAMES[1]).frame_index == 1
    with pytest.raises(UserError, match="clip_length is 3"):
        Session(model).step(FRAMES[0])


@pytest.mark.parametrize("memory_encoding", ["next_clip", "own_frame"])
@pytest.mark.parametrize("initial_query", ["frame", "memory"])
@pytest.mark.parametrize("length", [1, 3])
def test_named_options(model: UniVS, memory_encoding: str, initial_query: str, length: int) -> None:
    options = {"clip_length": length, "memory_encoding": memory_encoding, "initial_query": initial_query}
    assert len(list(segment(model, FRAMES, {0: masks(1)}, **options))) == 9


@pytest.mark.parametrize("prompt", [Box(1, (6, 4, 24, 22)), Points(1, [(15, 13)]), masks(1)[0]])
@pytest.mark.parametrize("index", [0, 1, 4, 8])
def test_prompts_may_come_at_any_frame(model: UniVS, prompt: Prompt, index: int) -> None:
    results: list[FrameResult] = list(segment(model, FRAMES, {index: [prompt]}, token_frames=3))
    assert [bool(result.object_ids) for result in results] == [place >= index for place in range(9)]
    if isinstance(prompt, Mask):
        assert (results[index].labels == (FIRST == 1)).all()


def test_an_object_expected_later_changes_nobody_it_is_kept_apart_from(model: UniVS) -> None:
    options = {"self_attention": "sep-blocked"}
    with Session(model, **options) as plain, Session(model, **options) as expecting:  # type: ignore[arg-type]
        expecting.expect([1, 7])
        for index, frame in enumerate(FRAMES[:5]):
            ours, theirs = (s.push(frame, masks(1) if index == 0 else ()) for s in (plain, expecting))
            assert [(a.labels == b.labels).all() for a, b in zip(ours, theirs, strict=True)] == [True] * len(ours)


def test_objects_may_be_removed_between_clips_and_before_their_first(model: UniVS) -> None:
    with Session(model) as session:
        session.push(FRAMES[0], masks(1, 2))
        assert session.object_ids == (1, 2)
        session.remove(2)
        session.push(FRAMES[1])
        assert session.push(FRAMES[2])[0].object_ids == (1,)
        session.remove(1)
        assert session.push(FRAMES[3])[0].labels.max() == 0
        with pytest.raises(UserError, match="object 1 is not being followed"):
            session.remove(1)


def test_memory_does_not_grow_with_the_video(model: UniVS) -> None:
    sizes = set()
    with Session(model, keep_results=False) as session:
        for index in range(30):
            session.push(FRAMES[index % 9], masks(1, 2) if index == 0 else ())
            if index > 10:
                tracker = session._loop.tracker  # type: ignore[union-attr]
                memory = tracker.stream._memory  # type: ignore[attr-defined]
                stores = (tracker.logits, tracker.embeddings)  # type: ignore[attr-defined]
                sizes.add((*map(len, stores), memory._recent.features.shape, len(session._loop._frames)))  # type: ignore[union-attr]
    assert len(sizes) == 1


def test_impossible_settings_say_what_would_be_right(model: UniVS) -> None:
    with pytest.raises(UserError, match="the task vos has no way 'clips'; known: clip, frame"):
        Session(model, way="clips")
    with pytest.raises(UserError, match="initial_query must be frame or memory, not first"):
        Session(model, initial_query="first").push(FRAMES[0])
    with pytest.raises(UserError, match="stride between 1 and the length"):
        Session(model, clip_length=2, clip_stride=3).push(FRAMES[0])
