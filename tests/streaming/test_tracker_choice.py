"""Settings by flat names: every one reaches its tracker, unknown ones are refused, unused ones are said."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch

from tests.streaming.conftest import moving_squares
from tests.streaming.recorder import Recorder, RecorderModel, RecorderSettings
from univs.errors import UserError
from univs.models.offers import OFFERS
from univs.models.univs import UniVS
from univs.prompts import Categories
from univs.settings import UnusedSetting, flat_settings, flat_values, with_values
from univs.streaming import Session
from univs.streaming.tasks import TASKS, Task
from univs.streaming.tracker_choice import choose_tracker
from univs.trackers.frame.referring import ReferringTracker
from univs.trackers.frame.tracker import FrameSettings, FrameTracker
from univs.trackers.tracker import Clips, found

OTHERS = FrameSettings(
    self_attention="sep-blocked",
    token_width=5,
    token_frames=3,
    dense_frames=4,
    dense_interval=2,
    confine_prompts=False,
    strokes="drawn",
    nearly_best=0.1,
    closer_look=False,
)
"""Each field different from its default."""


def followers(tracker: Any) -> list[FrameTracker]:
    """Every tracker of shown objects within a tracker."""
    if isinstance(tracker, FrameTracker):
        return [tracker]
    if isinstance(tracker, ReferringTracker):
        return [tracker._tracker()]
    return [one for part in vars(tracker).values() if hasattr(part, "answer") for one in followers(part)]


@pytest.mark.parametrize("given_by", ["person", "model"])
@pytest.mark.parametrize("task", ["vos", "pvos", "refvos", "vis", "vps"])
def test_every_frame_setting_reaches_the_tracker(
    model: UniVS, task: str, given_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(getattr(OTHERS, f.name) != f.default for f in fields(FrameSettings))
    monkeypatch.setattr("univs.trackers.frame.referring.word_parts", lambda model: None)
    monkeypatch.setattr("univs.trackers.frame.referring.text_encoder_of", lambda model: None)
    numbers, options = flat_values(OTHERS), {}
    if given_by == "model":
        monkeypatch.setitem(model.config, "streaming", {**numbers, "short_side": 0})
    else:
        options = numbers
    if TASKS[task].takes_categories:
        options = {**options, "categories": Categories(("a", "b")), "class_embeddings": torch.eye(2, 8)}
    with Session(model, task, **options) as session:
        session.push(moving_squares(1)[0][0])
        assert session._loop is not None
        (tracker,) = followers(session._loop.tracker)
        assert tracker.settings == OTHERS
        assert (tracker._tokens.width, tracker._tokens._recent_frames) == (5, 3)
        assert tracker._dense is not None
        assert (tracker._dense.schedule.capacity, tracker._dense.schedule.interval) == (4, 2)


@pytest.mark.parametrize("way", ["frame", "clip"])
@pytest.mark.parametrize("task", sorted(OFFERS))
def test_flat_names_set_every_field_of_every_tracker(model: UniVS, task: str, way: str) -> None:
    """Names are one's own, or mean the same where they meet."""
    defaults = found(model.trackers()[task][way][1])()
    for name in flat_settings(defaults):
        changed = with_values(defaults, {name: "other"})
        assert changed != defaults and flat_values(changed) == {**flat_values(defaults), name: "other"}
    assert all(not is_dataclass(value) for value in flat_values(defaults).values())


def test_the_way_is_a_persons_or_the_models_or_the_first() -> None:
    class Two(RecorderModel):
        def trackers(self) -> dict[str, dict[str, tuple[Any, Any]]]:
            return {"vos": {"near": (Recorder, RecorderSettings), "far": (Recorder, RecorderSettings(Clips(7, 2)))}}

    def length(model: Two, **options: Any) -> int:
        return choose_tracker(model, TASKS["vos"], options).schedule().length

    assert length(Two()) == 1 and length(Two(way="far")) == 7 and length(Two(way="far"), way="near") == 1
    assert length(Two(clip_length=4)) == 4 and length(Two(clip_length=4), clip_length=3) == 3
    own = Task("vos", lambda prompts: {}, trackers={"near": (Recorder, RecorderSettings(Clips(5, 5)))})
    assert choose_tracker(Two(), own, {}).schedule().length == 5  # the task's own counts before the model's
    assert choose_tracker(Two(), own, {"way": "far"}).schedule().stride == 2


def test_clips_without_a_stride_lie_side_by_side(model: UniVS) -> None:
    for task, options, clips in (("vss", {"clip_length": 3}, (3, 3)), ("vss", {}, (1, 1)), ("vos", {}, (1, 1))):
        schedule = choose_tracker(model, TASKS[task], options).schedule()
        assert (schedule.length, schedule.stride) == clips


def test_sizes_are_those_of_the_model_unless_a_person_says_others() -> None:
    chosen = choose_tracker(RecorderModel(short_side=40, square_padding=64), TASKS["vos"], {"square_padding": 96})
    assert (chosen.short_side, chosen.square_padding) == (40, 96)
    plain = choose_tracker(RecorderModel(), TASKS["vos"], {})
    assert (plain.short_side, plain.square_padding) == (0, None)


def test_class_score_has_one_default(model: UniVS) -> None:
    scores = {flat_values(found(model.trackers()[task]["frame"][1])())["class_score"] for task in ("vis", "vps")}
    assert scores == {0.12}


def test_unknown_names_are_refused_whoever_says_them(model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="unknown option 'denseframes'; known: closer_look, confine_prompts"):
        choose_tracker(model, TASKS["vos"], {"denseframes": 3})
    monkeypatch.setitem(model.config, "streaming", {"token_fames": 3})
    with pytest.raises(UserError, match="unknown option 'token_fames'"):
        choose_tracker(model, TASKS["vos"], {})


def test_unused_names_are_said_if_a_person_gave_them_and_checked(
    model: UniVS, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setitem(model.config, "streaming", {"dense_frames": 3, "clip_length": 1})
    choose_tracker(model, TASKS["vss"], {})
    assert not recwarn.list  # a model brings numbers for all tasks
    with pytest.warns(UnusedSetting, match="the task vss leaves unused: dense_frames, match"):
        choose_tracker(model, TASKS["vss"], {"dense_frames": 3, "match": 0.5})
    with pytest.raises(UserError, match="the option dense_frames must be at least 1, not 0"):
        choose_tracker(model, TASKS["vss"], {"dense_frames": 0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"way": "clips"}, "the task vos has no way 'clips'; known: clip, frame"),
        ({"way": ["clip"]}, "the option way must be null or a text"),
        ({"dense_frames": "six"}, "the option dense_frames must be a whole number of at least 1, not six"),
        ({"self_attention": "sep-own"}, "self_attention must be sep or sep-blocked or sep-l2p or all, not sep-own"),
        (
            {"way": "clip", "memory_encoding": "own"},
            "memory_encoding must be next_clip or own_frame, not own",
        ),
    ],
)
def test_impossible_values(model: UniVS, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose_tracker(model, TASKS["vos"], options)


def test_a_model_may_offer_less() -> None:
    class Bare:
        streaming: dict[str, Any] = {}

        def trackers(self) -> dict[str, Any]:
            return {}

    with pytest.raises(UserError, match="this model has no tracker for the task vis"):
        choose_tracker(Bare(), TASKS["vis"], {})  # type: ignore[arg-type]
