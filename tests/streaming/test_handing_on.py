"""What a session hands on to a tracker, and when, with a tracker that keeps it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.streaming.recorder import Recorder, RecorderModel
from univs.errors import UserError
from univs.prompts import Box, Categories, Mask, Points, Prompt, Text
from univs.streaming import Session, segment
from univs.trackers.tracker import Span

HEIGHT, WIDTH = 20, 30
CATEGORIES = Categories(("a", "b"), frozenset({0}))


def frame(value: int = 0) -> NDArray[np.uint8]:
    return np.full((HEIGHT, WIDTH, 3), value, np.uint8)


def box(object_id: int) -> Box:
    return Box(object_id, (1, 1, 9, 9))


def recorded(
    task: str = "vos", options: dict[str, Any] | None = None, **streaming: Any
) -> tuple[Session, RecorderModel]:
    model = RecorderModel(**streaming)
    return Session(model, task, **(options or {})), model


def said(tracker: Recorder) -> list[dict[int, list[int]]]:
    """Of each clip: frame index -> ids of the objects that something was said about."""
    return [{index: list(prompts) for index, prompts in clip.items()} for _, _, clip in tracker.asked]


def test_clips_have_the_frames_and_prompts_of_their_span() -> None:
    session, model = recorded(clip_length=3, clip_stride=2)
    counts = []
    for index in range(6):
        results = session.push(frame(), {0: [box(1)], 3: [box(2), box(4)], 4: [box(1)]}.get(index, ()))
        counts.append([result.frame_index for result in results])
    assert session.object_ids == (1, 2, 4)
    assert counts == [[], [], [0, 1], [], [2, 3], []]
    assert [result.frame_index for result in session.finish().rest] == [4, 5]
    (tracker,) = model.trackers_made
    assert [span for span, _, _ in tracker.asked] == [Span(0, 3, 2), Span(2, 5, 4), Span(4, 6, 6)]
    assert [indices for _, indices, _ in tracker.asked] == [[0, 1, 2], [2, 3, 4], [4, 5]]
    assert said(tracker) == [{0: [1]}, {3: [2, 4], 4: [1]}, {4: [1]}]


def test_frames_that_no_clip_needs_are_forgotten() -> None:
    session, _ = recorded(clip_length=3, clip_stride=2)
    for index in range(7):
        session.push(frame(), [box(index + 1)])
        loop = session._loop
        assert loop is not None and len(loop._frames) == len(loop._prompts) == [1, 2, 1, 2, 1, 2, 1][index]


def test_a_video_of_clips_ends_once_and_one_of_frames_may_go_on() -> None:
    session, model = recorded(clip_length=2, clip_stride=1)
    session.push(frame(), [box(1)])
    session.push(frame())
    assert [result.frame_index for result in session.flush()] == [1] and session.flush() == []
    assert len(model.trackers_made[0].asked) == 1
    with pytest.raises(UserError, match="this video has ended"):
        session.push(frame())
    single, _ = recorded()
    single.push(frame(), [box(1)])
    assert single.flush() == []
    assert [result.frame_index for result in single.push(frame())] == [1]


def test_who_waits_for_a_clip_is_followed_and_may_be_removed() -> None:
    session, model = recorded(clip_length=3, clip_stride=1)
    session.push(frame(), [box(7), box(8)])
    assert session.object_ids == (7, 8)
    session.remove(7)
    assert session.object_ids == (8,) and not model.trackers_made[0].removed
    session.push(frame(), [box(3)])
    session.push(frame())
    session.remove(8)
    assert session.object_ids == (3,) and model.trackers_made[0].removed == [8]
    session.push(frame())
    assert said(model.trackers_made[0]) == [{0: [8], 1: [3]}, {1: [3]}]
    with pytest.raises(UserError, match="object 8 is not being followed; followed: 3"):
        session.remove(8)
    session.push(frame())
    session.push(frame(), [box(1)])
    assert session.object_ids == (3, 1)  # in the order in which they came


def test_expressions_without_an_id_get_the_next_that_is_free() -> None:
    """2 is expected, 3 is shown beside them, 1 and 5 are being followed."""
    session, model = recorded("refvos")
    session.expect([2])
    session.push(frame(), [Text("one"), Text("five", 5)])
    (result,) = session.push(frame(), [Text("two"), box(3), Text("three")])
    assert [list(clip.values()) for clip in said(model.trackers_made[0])] == [[[1, 5]], [[4, 3, 6]]]
    assert result.names == {1: "one", 5: "five", 4: "two", 6: "three"}
    session.remove(1)
    session.push(frame(), [Text("four")])
    assert said(model.trackers_made[0])[2] == {2: [7]}  # the name of a removed one stays its own


def test_names_of_the_tracker_count_before_expressions(monkeypatch: pytest.MonkeyPatch) -> None:
    session, model = recorded("pvos")
    session.push(frame(), [box(1), Text("cow", 1), box(2), Text("sky", 2)])
    plain = Recorder.answer

    def named(self: Recorder, clip: Any) -> Any:
        (result,) = plain(self, clip)
        return [type(result)(result.frame_index, result.labels, result.object_ids, result.scores, names={1: "ox"})]

    monkeypatch.setattr(Recorder, "answer", named)
    (result,) = session.push(frame())
    assert result.names == {1: "ox", 2: "sky"}


def test_what_is_named_must_be_shown_on_the_same_frame() -> None:
    session, _ = recorded("pvos")
    with pytest.raises(UserError, match="object 1 has the name 'sky' but is not shown"):
        session.push(frame(), [Text("cow", 1), Text("sky", 1)])


def test_the_tracker_is_told_sizes_categories_and_who_will_come() -> None:
    session, model = recorded("vis", {"size": 10, "categories": CATEGORIES}, short_side=40, square_padding=64)
    session.expect([4, 2, 4])
    session.push(frame())
    question = model.trackers_made[0].question
    assert question.categories == CATEGORIES and question.expected_ids == (4, 2)
    geometry = question.geometry
    assert (geometry.height, geometry.width, geometry.input_height, geometry.input_width) == (20, 30, 10, 15)
    assert geometry.padded == (64, 64)
    other, model = recorded("vis", short_side=40)
    other.push(frame(), [CATEGORIES])
    assert model.trackers_made[0].question.geometry.input_height == 40
    assert model.trackers_made[0].question.categories == CATEGORIES
    with pytest.raises(UserError, match="categories are given once, with the first frame"):
        other.push(frame(), [CATEGORIES])


def test_a_bad_prompt_is_refused_by_the_size_of_the_frame() -> None:
    session, model = recorded()
    session.push(frame(), [Points(1, [(29, 19)])])  # the last column and row
    for outside in ((30, 0), (0, 20)):
        with pytest.raises(UserError, match="outside the frame"):
            session.push(frame(), [Points(1, [outside])])
    with pytest.raises(UserError, match="is empty"):
        session.push(frame(), [Mask(1, np.zeros((HEIGHT, WIDTH), bool))])
    for strange in (frame()[:10], frame().transpose(1, 0, 2)):
        with pytest.raises(UserError, match="all frames of a video must have one size"):
            session.push(np.ascontiguousarray(strange))
    for broken in (frame()[:0], frame()[..., :2], frame()[..., 0], frame().astype(np.int32), "frame"):
        with pytest.raises(UserError, match="a frame must"):
            session.push(broken)  # type: ignore[arg-type]
    nothing: Any = None
    session.push(frame(), nothing)
    assert len(model.trackers_made[0].asked) == 2


def test_a_whole_video_hands_on_every_prompt_on_its_frame() -> None:
    model = RecorderModel(clip_length=2, clip_stride=1)
    prompts: dict[int, list[Prompt]] = {0: [box(1)], 2: [box(3), box(2)], 3: []}
    results = list(segment(model, [frame()] * 4, prompts))  # type: ignore[arg-type]
    assert [result.frame_index for result in results] == [0, 1, 2, 3]
    (tracker,) = model.trackers_made
    assert said(tracker) == [{0: [1]}, {2: [3, 2]}, {2: [3, 2]}] and tracker.question.expected_ids == (1, 3, 2)
    assert len(list(segment(RecorderModel(), [frame()], task="vis"))) == 1  # which looks by itself
    with pytest.raises(UserError, match="there is nothing to follow"):
        segment(RecorderModel(), [frame()], {0: []})
    with pytest.raises(UserError, match=r"a prompt on frame 2, but the video has 2 frames \(0 to 1\)"):
        list(segment(RecorderModel(), [frame()] * 2, {2: [box(1)]}))


def test_a_refused_name_is_nobodys() -> None:
    session, _ = recorded()
    with pytest.raises(UserError, match="a Text is not a visual prompt"):
        session.step(frame(), [Text("the dog")])
    assert session.step(frame(), [box(1)]).names == {}


def test_what_a_tracker_refuses_leaves_no_name_and_no_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Recorder.answer

    def refuse(self: Recorder, clip: Any) -> Any:
        raise UserError("not this")

    for task, said in (("refvos", Text("the dog")), ("vis", CATEGORIES)):
        session, model = recorded(task)
        monkeypatch.setattr(Recorder, "answer", refuse)
        with pytest.raises(UserError, match="not this"):
            session.step(frame(), [said])
        monkeypatch.setattr(Recorder, "answer", plain)
        assert session.step(frame()).names == {} and session.object_ids == ()
        assert model.trackers_made[-1].question.categories is None


def test_what_is_no_prompt_is_refused_before_the_video_is_opened() -> None:
    wrong: Any
    for wrong in ("the dog", (180, 60, 320, 300), None):
        for prompts in ([wrong], {3: [box(1), wrong]}):
            with pytest.raises(UserError, match="is no prompt; give Points, Box, Mask, Scribble or Text"):
                segment(RecorderModel(), "nowhere.mp4", prompts)  # type: ignore[arg-type]
        with pytest.raises(UserError, match="is no prompt; give Points, Box, Mask, Scribble or Text"):
            recorded()[0].push(frame(), [wrong])


@pytest.mark.parametrize("names", [["person", "dog"], "person", ("person",)])
def test_plain_names_are_no_categories(names: Any) -> None:
    for ask in (
        lambda: recorded("vis", {"categories": names}),
        lambda: segment(RecorderModel(), [frame()], task="vis", categories=names),  # type: ignore[arg-type]
    ):
        with pytest.raises(
            UserError, match=r"categories must be given as univs\.Categories\(\['person', 'dog'\]\), not"
        ):
            ask()
    with pytest.raises(UserError, match="the task vos takes no categories"):
        recorded("vos", {"categories": names})
    assert recorded("vis", {"categories": None})[0].push(frame())


@pytest.mark.parametrize(("length", "stride"), [(3, 1), (2, 2)])
def test_a_frame_that_waits_for_others_may_be_written_over(
    length: int, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, plain = [], Recorder.answer

    def looked(self: Recorder, clip: Any) -> Any:
        seen.append([int(one.image[0, 0, 0]) for one in clip.frames])
        return plain(self, clip)

    monkeypatch.setattr(Recorder, "answer", looked)
    session, model = recorded(clip_length=length, clip_stride=stride)
    buffer = frame()
    for index in range(6):
        buffer[:] = index
        session.push(buffer)
    assert seen == [indices for _, indices, _ in model.trackers_made[0].asked] and len(seen) >= 3


def test_a_frame_that_waits_for_nobody_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, plain = [], Recorder.answer

    def looked(self: Recorder, clip: Any) -> Any:
        seen.extend(one.image for one in clip.frames)
        return plain(self, clip)

    monkeypatch.setattr(Recorder, "answer", looked)
    given = frame()
    recorded()[0].push(given)
    assert seen[0] is given
