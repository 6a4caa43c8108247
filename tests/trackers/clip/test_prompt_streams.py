"""How objects are asked for, seen from what the decoder was asked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trackers.clip.test_prompted_objects import LEFT, RIGHT, film, run, same, scripted, session_of, shown
from tests.trackers.scripted import ScriptedWords, area, colour
from univs.prompts import Box, Mask, Scribble, Text


def test_a_correction_leaves_the_first_frame_what_it_is() -> None:
    model = scripted()
    run(model, film(8), {0: shown(1), 3: [Mask(1, area(LEFT))]}, token_frames=4)
    assert model.asked[-1].tokens == ((0, 4, 5, 6),)


def test_who_comes_after_one_that_was_removed_has_a_first_frame_of_its_own() -> None:
    """Both were expected; the first is gone before the second is shown."""
    model = scripted()
    session, frames = session_of(model, clip_length=1, token_frames=2), film(7)
    session.expect([1, 2])
    session.push(frames[0], shown(1))
    session.remove(1)
    session.push(frames[1])
    session.push(frames[2], [Box(2, (48, 32, 80, 56))])
    for frame in frames[3:]:
        session.push(frame)
    assert [asked.tokens for asked in model.asked[-2:]] == [((2, 5),), ((2, 6),)]


def test_scribbles_show_an_object_too() -> None:
    for result in run(scripted(), film(4), {0: [Scribble(3, [[(0.13, 0.2), (0.2, 0.25)]])]}):
        assert same(result.labels == 3, area(LEFT))


def test_masks_may_become_tokens_when_they_are_answered() -> None:
    for encoding, wanted in (("own_frame", [(0,), (0,), (0, 1), (0, 1, 2)]), ("next_clip", [(0,), (1,), (1, 2)])):
        model = scripted()
        run(model, film(4), {0: shown(1)}, clip_length=1, memory_encoding=encoding)
        assert [asked.tokens[0] for asked in model.asked[: len(wanted)]] == wanted


def test_of_several_texts_about_an_object_the_last_one_counts() -> None:
    said = [Text("the one", 1), Text("the two", 1)]
    for result in run(scripted(), film(2), {0: said}, "refvos", clip_length=1):
        assert same(result.mask(1), area(RIGHT))


@pytest.mark.parametrize(("clean", "place"), [(True, LEFT), (False, RIGHT)])
def test_expressions_may_be_taken_as_they_are(clean: bool, place: Any) -> None:
    words = ScriptedWords({"the one": colour(1), "The ONE!": colour(2)})
    options = {"text_encoder": words, "clean_texts": clean, "clip_length": 1}
    for result in run(scripted(), film(2), {0: [Text("The ONE!", 1)]}, "refvos", **options):
        assert same(result.mask(1), area(place))


def test_what_frames_make_of_expressions_is_kept_for_the_frames_of_a_clip() -> None:
    session = session_of(scripted(), "refvos")
    for index, frame in enumerate(film(8)):
        session.push(frame, [] if index else [Text("the one", 1)])
    tracker: Any = session._loop and session._loop.tracker
    assert list(tracker.stream._frames) == [5, 6, 7]
