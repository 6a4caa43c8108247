"""The loop as a whole, with a small model of random weights: identities that hold for any weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from univs.errors import UserError
from univs.models.univs import UniVS
from univs.models.zoo import build_model
from univs.prompts import Box, Mask, Points, Prompt, Scribble
from univs.results import FrameResult
from univs.streaming import Session, segment
from univs.trackers.frame.tracker import FrameTracker

from .conftest import CONFIG, moving_squares

FRAMES, FIRST = moving_squares(9)


def masks(*object_ids: int) -> list[Prompt]:
    return [Mask(object_id, FIRST == object_id) for object_id in object_ids]


def follow(
    model: UniVS,
    prompts: Mapping[int, Sequence[Prompt]],
    frames: Sequence[NDArray[np.uint8]] = FRAMES,
    **options: object,
) -> list[FrameResult]:
    with Session(model, keep_results=False, **options) as session:  # type: ignore[arg-type]
        return [session.step(frame, prompts.get(index, ())) for index, frame in enumerate(frames)]


def follower_of(session: Session) -> FrameTracker:
    assert session._loop is not None and isinstance(session._loop.tracker, FrameTracker)
    return session._loop.tracker


def same(ours: Sequence[FrameResult], theirs: Sequence[FrameResult]) -> bool:
    return all((a.labels == b.labels).all() and a.scores == b.scores for a, b in zip(ours, theirs, strict=True))


def test_a_given_mask_is_the_answer_on_its_frame(model: UniVS) -> None:
    result = follow(model, {0: masks(1, 2, 3)}, FRAMES[:1])[0]
    assert (result.labels == FIRST).all() and result.labels.dtype == np.uint8
    assert result.object_ids == (1, 2, 3) and result.scores == {1: 1.0, 2: 1.0, 3: 1.0}


def test_a_box_is_read_as_a_rough_entry_until_there_is_a_mask(model: UniVS) -> None:
    """Weights that only rough entries use change the answer to a box, on its own frame, and nothing of a given mask."""
    changed = copy.deepcopy(model)
    assert changed.dense_memory is not None
    with torch.no_grad():
        torch.manual_seed(0)
        changed.dense_memory.value8_rough += 3 * torch.randn_like(changed.dense_memory.value8_rough)
    box: dict[int, Sequence[Prompt]] = {0: [Box(1, (6, 4, 40, 40))]}
    ours, theirs = follow(model, box, confine_prompts=False), follow(changed, box, confine_prompts=False)
    assert (ours[0].labels != theirs[0].labels).any()
    assert same(follow(model, {0: masks(1)}), follow(changed, {0: masks(1)}))


def test_random_weights_do_answer(model: UniVS) -> None:
    """The other tests compare masks; they must not compare empty ones."""
    results = follow(model, {0: masks(1, 2, 3)})
    assert all(len(np.unique(result.labels)) > 1 for result in results)


def test_the_order_of_objects_does_not_matter(model: UniVS) -> None:
    ours, theirs = follow(model, {0: masks(1, 2, 3)}), follow(model, {0: masks(3, 1, 2)})
    for a, b in zip(ours, theirs, strict=True):
        assert (a.labels != b.labels).mean() < 1e-3  # sums in another order
        assert {key: pytest.approx(value, abs=1e-4) for key, value in a.scores.items()} == b.scores


def test_a_later_object_does_not_change_earlier_results(model: UniVS) -> None:
    alone = follow(model, {0: masks(1)})
    joined = follow(model, {0: masks(1), 4: masks(2)})
    assert same(alone[:4], joined[:4])
    assert joined[3].object_ids == (1,) and joined[4].object_ids == (1, 2)
    assert (joined[4].labels[FIRST == 2] == 2).all()


def test_a_removed_object_is_gone_and_the_others_stay(model: UniVS) -> None:
    session = Session(model)
    for frame, prompts in zip(FRAMES[:4], (masks(1, 2, 3), [], [], []), strict=True):
        session.step(frame, prompts)
    session.remove(2)
    result = session.step(FRAMES[4])
    assert result.object_ids == session.object_ids == (1, 3) and not (result.labels == 2).any()
    with pytest.raises(UserError, match="object 2 is not being followed; followed: 1, 3"):
        session.remove(2)
    again = session.step(FRAMES[5], [Mask(2, FIRST == 2)])
    assert again.object_ids == (1, 3, 2) and (again.labels[FIRST == 2] == 2).all()
    tracks = session.finish().tracks
    assert [track.object_id for track in tracks] == [1, 2, 3]
    assert tracks[1].segmentations[4] is None and tracks[1].segmentations[5] is not None


def test_removing_everybody_leaves_an_empty_memory(model: UniVS) -> None:
    session = Session(model)
    session.step(FRAMES[0], masks(1))
    session.step(FRAMES[1])
    session.remove(1)
    assert session.step(FRAMES[2]).labels.max() == 0
    later = [session.step(frame, masks(2) if index == 0 else ()) for index, frame in enumerate(FRAMES[3:])]
    fresh = follow(model, {0: masks(2)}, FRAMES[3:])
    assert all((a.labels == b.labels).all() for a, b in zip(later, fresh, strict=True))


def test_an_object_far_from_the_others_is_followed_as_if_alone(prompt_only_model: UniVS) -> None:
    """The decoder keeps the objects apart (`sep-blocked`); they meet in the aggregation only."""
    frames, first = moving_squares(2)
    followers = []
    for object_ids in ((1,), (3, 1, 2)):
        session = Session(prompt_only_model)
        session.step(frames[0], [Mask(object_id, first == object_id) for object_id in object_ids])
        followers.append(follower_of(session))
    alone, together = (follower._tokens.tokens([follower.objects.row(1)]) for follower in followers)
    torch.testing.assert_close(alone.features, together.features)
    assert (alone.valid == together.valid).all()


@pytest.mark.parametrize(
    "prompt",
    [
        Box(1, (6, 4, 24, 22)),
        Points(1, [(15, 13)]),
        Points(1, [(15, 13), (60, 40)], [True, False]),
        Scribble(1, [[(0.1, 0.1), (0.2, 0.3)]]),
    ],
)
@pytest.mark.parametrize("frame_index", [0, 3])
def test_every_kind_of_prompt_starts_an_object_at_any_frame(model: UniVS, prompt: Prompt, frame_index: int) -> None:
    results = follow(model, {frame_index: [prompt]})
    assert [result.object_ids for result in results] == [()] * frame_index + [(1,)] * (9 - frame_index)
    assert all(result.labels.max() == 0 for result in results[:frame_index])
    assert any((result.labels == 1).any() for result in results[frame_index:])


def test_box_and_points_of_an_object_on_one_frame_are_one_prompt(model: UniVS) -> None:
    session = Session(model)
    session.step(FRAMES[0], [Box(1, (6, 4, 24, 22)), Points(1, [(15, 13)]), Points(1, [(12, 9)])])
    assert follower_of(session)._tokens._pinned == [1]


def test_a_correction_is_taken_at_once_and_remembered(model: UniVS) -> None:
    plain = follow(model, {0: masks(1)})
    corrected = follow(model, {0: masks(1), 4: [Mask(1, FIRST == 2)]})
    clicked = follow(model, {0: masks(1), 4: [Points(1, [(70, 30)], [False])]})
    assert same(plain[:4], corrected[:4]) and same(plain[:4], clicked[:4])
    assert ((corrected[4].labels == 1) == (FIRST == 2)).all()
    assert corrected[5].scores != plain[5].scores
    assert clicked[4].scores != plain[4].scores and clicked[5].scores != plain[5].scores


def test_ids_above_255_are_kept(model: UniVS) -> None:
    result = follow(model, {0: [Mask(1000, FIRST == 1), Mask(2, FIRST == 2)]}, FRAMES[:3])
    assert all(r.labels.dtype == np.int32 for r in result)
    assert (result[0].labels[FIRST == 1] == 1000).all()


@pytest.mark.parametrize(("height", "width"), [(65, 97), (64, 64), (7, 5), (1, 1), (33, 200)])
def test_frames_of_any_size(model: UniVS, height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (4, height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), bool)
    mask[: (height + 1) // 2, : (width + 1) // 2] = True
    results = follow(model, {0: [Mask(1, mask)]}, list(frames))
    assert all(result.labels.shape == (height, width) for result in results)


@pytest.mark.parametrize("size", [32, 100])
def test_the_model_may_see_another_size(model: UniVS, size: int) -> None:
    results = follow(model, {0: masks(1), 2: [Box(2, (50, 20, 80, 45))]}, size=size)
    assert all(result.labels.shape == FIRST.shape for result in results)
    assert ((results[0].labels == 1) == (FIRST == 1)).all()


def test_segment_gives_what_step_gives(model: UniVS) -> None:
    prompts = {0: masks(1), 3: [Points(2, [(65, 30)])]}
    assert same(follow(model, prompts), list(segment(model, FRAMES, prompts)))
    assert same(follow(model, {0: masks(1, 2)}), list(segment(model, iter(FRAMES), masks(1, 2))))


def test_finish_gives_the_tracks(model: UniVS) -> None:
    with Session(model) as session:
        results = [session.step(frame, masks(1, 3) if index == 1 else ()) for index, frame in enumerate(FRAMES)]
        video = session.finish()
    assert (video.height, video.width, video.num_frames) == (65, 97, 9)
    for track in video.tracks:
        expected = [r.rle(track.object_id) if track.object_id in r.object_ids else None for r in results]
        assert list(track.segmentations) == expected


def test_memory_has_its_size_once_and_for_all(model: UniVS) -> None:
    session = Session(model)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (10, 32, 64, 3), dtype=np.uint8)
    quarters = [np.zeros((32, 64), bool) for _ in range(3)]
    for number, quarter in enumerate(quarters):
        quarter[:, 16 * number : 16 * number + 16] = True
    sizes = set()
    for index in range(70):
        prompts = [Mask(n + 1, quarter) for n, quarter in enumerate(quarters)] if index % 10 == 0 else []
        session.step(frames[index % 10], prompts)
        tokens, dense = follower_of(session)._tokens, follower_of(session)._dense
        assert dense is not None
        held = [tokens._features, dense._keys, dense._values, dense._local]
        if index:
            sizes.add(tuple(tensor.untyped_storage().nbytes() for tensor in held if tensor is not None))
        assert len(dense.schedule.entries) <= 4
    assert len(sizes) == 1


def test_without_a_dense_memory_prompts_alone_carry_the_object(prompt_only_model: UniVS) -> None:
    results = follow(prompt_only_model, {0: masks(1, 2)})
    assert (results[0].labels[FIRST == 1] == 1).all() and len(results) == 9


def test_bad_frames_and_prompts_change_nothing(model: UniVS) -> None:
    session = Session(model)
    session.step(FRAMES[0], masks(1))
    with pytest.raises(UserError, match="80x60 pixels, the frames before it 97x65"):
        session.step(np.zeros((60, 80, 3), np.uint8))
    with pytest.raises(UserError, match="uint8"):
        session.step(FRAMES[1].astype(np.float32))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="height x width x 3"):
        session.step(FRAMES[1][..., 0])
    with pytest.raises(UserError, match="outside the frame"):
        session.step(FRAMES[1], [Points(2, [(97, 3)])])
    with pytest.raises(UserError, match="is empty"):
        session.step(FRAMES[1], [Mask(2, np.zeros(FIRST.shape, bool))])
    ours = [session.step(frame) for frame in FRAMES[1:]]
    assert same(ours, follow(model, {0: masks(1)})[1:])


@pytest.mark.parametrize("keep_results", [True, False])
def test_a_session_that_was_closed_says_so(model: UniVS, keep_results: bool) -> None:
    with Session(model, keep_results=keep_results) as session:
        session.step(FRAMES[0], masks(1))
    for use in (lambda: session.step(FRAMES[1]), lambda: session.push(FRAMES[1]), session.flush):
        with pytest.raises(UserError, match="this session was closed; make a new one"):
            use()
    with pytest.raises(UserError, match="this session was closed" if keep_results else "keep_results"):
        session.finish()
    session.close()
    assert session.object_ids == (1,)


def test_impossible_sessions_say_what_would_be_right(model: UniVS) -> None:
    with pytest.raises(UserError, match="unknown task 'vox'; known: pvos, refvos, vis, vos"):
        Session(model, "vox")
    with pytest.raises(UserError, match="unknown option 'dense_farmes'"):
        Session(model, dense_farmes=3)
    with pytest.raises(UserError, match="size"):
        Session(model, size=-1)
    with pytest.raises(UserError, match="clip_length is 5"):
        Session(model, way="clip", clip_length=5).step(FRAMES[0])
    with pytest.raises(UserError, match="keep_results"):
        Session(model, keep_results=False).finish()


def test_segment_refuses_what_it_cannot_follow(model: UniVS) -> None:
    with pytest.raises(UserError, match="nothing to follow"):
        segment(model, FRAMES, [])
    with pytest.raises(UserError, match="frame -1"):
        segment(model, FRAMES, {-1: masks(1)})
    for index in (0.5, "0", True, None):
        with pytest.raises(UserError, match="frames are whole numbers from 0"):
            segment(model, FRAMES, {index: masks(1)})  # type: ignore[dict-item]
    single: Any = masks(1)[0]
    for prompts in (single, {0: single}, "box"):
        with pytest.raises(UserError, match="the prompts of a frame are a list of them, not"):
            segment(model, FRAMES, prompts)
    nothing: Any = None
    with pytest.raises(UserError, match="None is no video; give a path"):
        segment(model, nothing, masks(1))
    with pytest.raises(UserError, match="unknown task None"):
        Session(model, nothing)
    with pytest.raises(UserError, match=r"frame 20, but the video has 9 frames \(0 to 8\)"):
        list(segment(model, FRAMES, {0: masks(1), 20: masks(2)}))


def test_a_model_without_streaming_options_uses_the_defaults() -> None:
    torch.manual_seed(0)
    plain = build_model({**CONFIG, "streaming": {}}).eval()
    assert len(follow(plain, {0: masks(1)}, FRAMES[:3])) == 3
