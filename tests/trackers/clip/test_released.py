"""The numbers that UniVS was released with, and that each reaches who goes by it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.trackers.clip import test_prompted_objects as prompted
from tests.trackers.clip.test_entities import CATS, LEFT, RIGHT, film, run, scripted, sight
from tests.trackers.scripted import ScriptedModel, ScriptedWords, colour, picture
from univs.masks.geometry import Geometry
from univs.prompts import Categories, Text
from univs.settings import flat_values
from univs.trackers.classes import Words
from univs.trackers.clip.released import (
    DescribedSettings,
    InstanceSettings,
    NamedSettings,
    SegmentSettings,
    ShownSettings,
    find_instances,
    find_segments,
)
from univs.trackers.detections import Filter
from univs.trackers.tracker import Clip, Frame, Question, Span

CLIPS = {"clip_length": 5, "clip_stride": 1, "token_frames": 5}
BELIEVED = {"consistency": 0.5, "keep_share": 0.25, "given_overlap": 0.15}
VOS = {
    **CLIPS,
    **BELIEVED,
    "compete": True,
    "self_attention": "sep",
    "grounding_blend": "none",
    "initial_query": "frame",
    "memory_encoding": "next_clip",
    "token_width": 256,
}
REFVOS = {
    **CLIPS,
    **BELIEVED,
    "compete": False,
    "self_attention": "sep-blocked",
    "grounding_blend": "best_learnable",
    "clean_texts": True,
}
FOUND = {**CLIPS, "self_attention": "sep", "detect_interval": 1, "new_overlap": 0.5, "window": 5}
VIS = {
    **FOUND,
    "token_width": 128,
    "class_score": 0.25,
    "least_score": 0.1,
    "later_factor": 1.0,
    "match": 0.1,
    "strong_factor": 2.0,
    "consistency": 0.25,
    "competition": 0.5,
    "stability": 0.25,
    "most": 35,
    "box_overlap": 0.85,
    "suppression": "any_better",
}
VPS = {
    **FOUND,
    "token_width": 64,
    "class_score": 0.15,
    "least_score": 0.0,
    "later_factor": 2.0,
    "match": 0.05,
    "strong_factor": 1.0,
    "consistency": 0.05,
    "most": 100,
    "most_things": 70,
    "most_stuff": 30,
    "box_overlap": 0.75,
    "mask_overlap": 0.6,
    "suppression": "any_better",
    "overlap": 0.6,
    "stuff_weight": 0.75,
}


@pytest.mark.parametrize(
    ("settings", "released"),
    [
        (ShownSettings(), VOS),
        (NamedSettings(), VOS),
        (DescribedSettings(), REFVOS),
        (InstanceSettings(), VIS),
        (SegmentSettings(), VPS),
    ],
)
def test_the_numbers_are_those_released(settings: Any, released: dict[str, Any]) -> None:
    """What is not named here is nothing: no words, no classes, no competition."""
    assert {name: value for name, value in flat_values(settings).items() if value is not None} == released


def answered(tracker: Any, count: int) -> Any:
    """The tracker after one clip for each of these frames."""
    for index in range(count):
        frame = Frame(index, picture(index, {1: LEFT, 2: RIGHT}))
        tracker.answer(Clip(Span(index, index + 1, index + 1), [frame], {}))
    return tracker


def question(categories: Categories = CATS) -> Question:
    return Question(Geometry.fit(64, 96), categories)


def test_as_many_rows_come_out_as_detections_are_looked_at() -> None:
    """Of six pairs of entity and class one is likely: 1.5 times one, or so many as are looked at, and one more."""
    names = Categories(tuple("abcdef"))
    for most, rows in ((1, 2), (4, 5), (35, 6)):
        model = scripted()
        model.sights[0] = [sight(LEFT, 0.9, *(0.02 + 0.001 * place for place in range(5)), look=6 * colour(1))]
        settings = InstanceSettings(words=Words(torch.eye(6)), filter=Filter(most=most))
        tracker = answered(find_instances(model, question(names), settings), 1)
        assert len(tracker.output.rows(tracker.tracks)) == rows


def test_of_later_detections_instances_are_filtered_and_segments_are_not() -> None:
    """A thing and stuff of the same place appear: by their boxes one would fall to the other."""
    words = Words(text_encoder=ScriptedWords())
    for find, settings, count in (
        (find_instances, InstanceSettings(words=words), 2),
        (find_segments, SegmentSettings(words=words), 3),
    ):
        model = scripted()
        known = sight(LEFT, 0.9, 0.1, 0.1, look=6 * colour(1))
        new = [sight(RIGHT, 0.1, 0.8, 0.1, look=6 * colour(2)), sight(RIGHT, 0.1, 0.1, 0.7, look=6 * colour(3))]
        model.sights = {0: [known], 1: [known, *new]}
        tracker = answered(find(model, question(), settings), 2)  # type: ignore[operator]
        assert tracker.tracks.ids == tuple(range(1, count + 1))


def test_segments_are_shown_by_the_share_and_the_weight_that_were_asked_for() -> None:
    frames = [picture(0, {3: (0, 0, 64, 96), 1: LEFT})]
    (plain,), (other,) = run(scripted(), frames, "vps"), run(scripted(), frames, "vps", overlap=1.1, stuff_weight=0.5)
    sky = {name: number for number, name in other.names.items()}["sky 3"]
    assert set(plain.names.values()) == {"cat 1", "sky 3"} and set(other.names.values()) == {"sky 3"}
    before = {name: number for number, name in plain.names.items()}["sky 3"]
    assert other.scores[sky] / plain.scores[before] == pytest.approx(0.5 / 0.75)


def test_slots_count_from_the_first_frame_of_the_video(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first object is shown on frame 4: the clip of frames 2 to 4 has five slots, and tokens of first frames."""
    widths = []
    plain = ScriptedModel.prompt_queries

    def asked(self: ScriptedModel, tokens: Any, initial: Any = None) -> Any:
        widths.append(sum(part.valid.shape[1] for part in tokens))
        return plain(self, tokens, initial)

    monkeypatch.setattr(ScriptedModel, "prompt_queries", asked)
    prompted.run(scripted(), film(5), {4: prompted.shown(1)}, token_frames=5)
    assert widths == [2 * 6]


def test_expressions_are_remembered_for_a_clip_at_least() -> None:
    options = {"token_frames": 1, "clip_length": 3}
    results = prompted.run(scripted(), film(5), {0: [Text("the one", 1)]}, "refvos", **options)
    assert all(prompted.same(result.mask(1), prompted.area(LEFT)) for result in results)
