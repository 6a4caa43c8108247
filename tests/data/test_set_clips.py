"""Batches of one data set, by ratio; the objects, classes and expressions of their clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from univs.data.clips import READERS
from univs.data.jitter import Jitter
from univs.data.labelled_sets import LabelledSet
from univs.data.pack.writing import write_pack
from univs.data.set_clips import (
    SetClips,
    SetClipSettings,
    build_set_clips,
    collate_set_clips,
    draw_frames,
    in_time,
    listed,
    swap_sides,
)
from univs.data.source_settings import open_sources
from univs.errors import UserError
from univs.formats.sample import VideoSample
from univs.training.loading import batches

SETTINGS = SetClipSettings(frames=2, size=32, objects=8, batch=3, jitter=Jitter((1, 1), 0), seed=4)
CLASSES = ("cat", "sky-other-merged", "traffic_light")


class Made:
    """A video of T frames, each all of one grey, with two things and a segment of stuff."""

    def __init__(self, length: int) -> None:
        self.annotated = range(length)

    def sample(self, places: Sequence[int] | None = None) -> VideoSample:
        chosen = list(self.annotated if places is None else places)
        frames = np.stack([np.full((32, 32, 3), 10 * place, np.uint8) for place in chosen])
        labels = np.zeros(frames.shape[:3], np.uint8)
        labels[:, 4:20, 4:12], labels[:, 8:24, 18:30], labels[:, 30:] = 1, 2, 255
        panoptic = np.where(labels == 0, 3, labels).astype(np.uint8)
        names, said = {1: "cat", 2: "dog"}, {2: ("the dog on the right",)}
        return VideoSample(frames, labels, names, panoptic=panoptic, stuff={3: "sky"}, expressions=said)


def one(**kind: Any) -> LabelledSet:
    return LabelledSet([Made(6)], **kind)


def test_batches_are_of_one_data_set_and_ratios_hold() -> None:
    sets = [(one(), 1.0), (one(classes=CLASSES), 3.0), (one(described=True), 0.0), (LabelledSet([]), 5.0)]
    clips = SetClips(sets, SETTINGS)
    for number in range(20):
        batch = [clips[index] for index in range(3 * number, 3 * number + 3)]
        assert {(clip.source, clip.question) for clip in batch} == {clips.of_batch(number)}
        assert len({clip.frame_indices for clip in batch} | {clip.frames.tobytes() for clip in batch}) > 2
    drawn = Counter(clips.of_batch(number) for number in range(4000))
    assert set(drawn) == {(0, "shown"), (1, "shown"), (1, "categories")}
    assert drawn[0, "shown"] / 4000 == pytest.approx(0.25, abs=0.02)
    assert drawn[1, "shown"] / 4000 == pytest.approx(0.75 * 0.31, abs=0.02)


def test_processes_share_the_data_set_of_a_batch() -> None:
    clips = SetClips([(one(), 1.0), (one(classes=CLASSES), 1.0)], replace(SETTINGS, batch=4))
    ranks = [batches(clips, 2, 0, rank, 2, collate_set_clips)(3) for rank in range(2)]
    for number in range(3, 9):
        both = [next(rank) for rank in ranks]
        assert [(batch["source"], batch["question"]) for batch in both] == [clips.of_batch(number)] * 2
        assert not np.array_equal(both[0]["frames"], both[1]["frames"])


def test_clips_never_end() -> None:
    clips = SetClips([(one(), 1.0)], SETTINGS)
    assert clips[len(clips)].frames.tobytes() != clips[len(clips) + 1].frames.tobytes()
    with pytest.raises(IndexError):
        clips[-1]


def test_a_clip_depends_on_index_and_seed_alone() -> None:
    first, again = SetClips([(one(), 1.0)], SETTINGS), SetClips([(one(), 1.0)], SETTINGS)
    other = SetClips([(one(), 1.0)], replace(SETTINGS, seed=5))
    want = [first[index] for index in range(6)]
    got = {index: again[index] for index in (5, 0, 3, 1, 4, 2)}
    assert all(np.array_equal(clip.frames, got[index].frames) for index, clip in enumerate(want))
    assert any(clip.frame_indices != other[index].frame_indices for index, clip in enumerate(want))


def test_the_objects_of_a_clip_and_what_is_known_of_them() -> None:
    """Without classes what is labelled counts; with them only what is of a class, by either spelling of its name."""
    for kind, ids, classes in (({}, {1, 2, 3}, None), ({"classes": CLASSES}, {1, 3}, {1: 0, 3: 1})):
        clip = SetClips([(one(**kind), 1.0)], SETTINGS)[0]
        assert set(clip.ids) == ids and clip.expressions is None
        assert clip.classes == (None if classes is None else tuple(classes[i] for i in clip.ids))
        for index, frame in zip(clip.frame_indices, clip.frames, strict=True):
            assert (frame == 10 * index).all()
    described = SetClips([(one(classes=CLASSES, described=True), 1.0)], SETTINGS)
    sides = set()
    for index in range(8):
        clip = described[index]
        assert (clip.ids, clip.classes, clip.question) == ((2,), None, "expressions") and clip.expressions
        right = float(np.nonzero(clip.segments[0] == 2)[1].mean()) > 16
        assert clip.expressions == (f"the dog on the {'right' if right else 'left'}",)
        sides.add(right)
    assert sides == {True, False}


def test_no_more_objects_than_count_any_of_them() -> None:
    clips = SetClips([(one(), 1.0)], replace(SETTINGS, objects=1))
    assert {clips[index].ids for index in range(20)} == {(1,), (2,), (3,)}


def test_unknown_pixels_are_no_object() -> None:
    sample = Made(2).sample()
    assert sample.panoptic is not None and listed(sample, sample.panoptic, one(), False) == [1, 2, 3]


def test_an_image_is_a_clip_that_moves_by_its_jitter() -> None:
    clips = SetClips([(LabelledSet([Made(1)]), 1.0)], replace(SETTINGS, frames=4, jitter=Jitter((0.8, 1.2), 10)))
    clip = clips[0]
    assert len({frame.tobytes() for frame in clip.segments}) == 4
    spans = [clips[index].frame_indices for index in range(50)]
    assert max(max(span) for span in spans) == 11 and min(min(span) for span in spans) == 0
    assert max(span[-1] - span[0] for span in spans) > 4


def test_frames_lie_around_one_of_the_video() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_frames(rng, 50, 4, 5) for _ in range(500)]
    assert all(frames == sorted(frames) and len(frames) == 4 for frames in drawn)
    assert {t for frames in drawn for t in frames} == set(range(50))
    assert all(any(max(abs(t - one) for t in frames) <= 5 for one in frames) for frames in drawn)
    assert any(len(set(frames)) < 4 for frames in drawn), "with replacement"
    assert draw_frames(rng, 1, 3, 5) == [0, 0, 0] and len(draw_frames(rng, 9, 1, 5)) == 1


def test_late_frames_are_moved_to_where_the_position_of_time_knows_them() -> None:
    rng = np.random.default_rng(0)
    assert in_time([3, 128], rng) == [3, 128]
    moved = [in_time([300, 310, 340], rng) for _ in range(400)]
    assert all((b - a, c - b) == (10, 30) and a >= 0 and c <= 128 for a, b, c in moved)
    assert min(a for a, *_ in moved) == 0 and max(c for *_, c in moved) == 128
    assert in_time([300, 428], rng) == [0, 128]


def test_sides_change_in_the_mirror() -> None:
    assert swap_sides("the Left dog, right of two that left early") == "the right dog, left of two that right early"
    assert swap_sides("Leftmost of the righthand men, left-most") == "rightmost of the lefthand men, right-most"
    assert swap_sides("right side, leftside, rightward, leftest") == "left side, rightside, leftward, rightest"
    for text in ("leftover", "bright upright one", "lefts", "a rightful copyright"):
        assert swap_sides(text) == text


def test_a_batch_of_clips() -> None:
    clips = SetClips([(one(classes=CLASSES), 1.0)], SETTINGS)
    batch = collate_set_clips([clips[0], clips[1]])
    assert batch["frames"].shape == (2, 2, 3, 32, 32) and batch["segments"].shape == (2, 2, 32, 32)
    assert np.array_equal(batch["frames"][1, 0].permute(1, 2, 0), clips[1].frames[0])
    assert batch["ids"] == [clips[0].ids, clips[1].ids] and batch["classes"][1] == clips[1].classes
    assert batch["expressions"] is None and (batch["source"], batch["question"]) == clips.of_batch(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A video of three frames without classes, and photos with a mask each."""
    for kind in ("JPEGImages/a", "Annotations/a", "images", "masks"):
        (tmp_path / kind).mkdir(parents=True)
    for t in range(3):
        mask = np.zeros((32, 48), np.uint8)
        mask[4:20, 4 * t + 4 : 4 * t + 20] = 1
        for kind, pixels in (("JPEGImages/a", np.full((32, 48, 3), 50 * t, np.uint8)), ("Annotations/a", mask)):
            Image.fromarray(pixels).save(tmp_path / kind / f"{t}.png")
        Image.fromarray(np.full((32, 48, 3), 50 * t, np.uint8)).save(tmp_path / "images" / f"{t}.png")
        Image.fromarray(mask * 255).save(tmp_path / "masks" / f"{t}.png")
    return tmp_path


def test_folders_without_classes_are_asked_for_what_is_shown(folder: Path) -> None:
    sources = [{"kind": "videos", "root": str(folder), "weight": 2}, {"kind": "photos", "root": str(folder)}]
    clips = build_set_clips(sources, SETTINGS)
    assert [(one.sort, one.count, one.weight) for one in clips.counts] == [("video", 1, 2), ("photo", 3, 1)]
    assert clips.shares == {"video": 2, "photo": 1}
    assert {clips.of_batch(number) for number in range(20)} == {(0, "shown"), (1, "shown")}
    assert all(clips[index].classes is None and clips[index].ids == (1,) for index in range(12))


def test_videos_of_one_labelled_frame_among_others_are_videos(folder: Path) -> None:
    for kind in ("JPEGImages", "Annotations"):
        (folder / kind / "0").mkdir()
        (folder / kind / "0" / "0.png").write_bytes((folder / kind / "a" / "0.png").read_bytes())
    (one,) = build_set_clips([{"kind": "videos", "root": str(folder)}], SETTINGS).counts
    assert (one.sort, one.count) == ("video", 2)


def test_a_pack_of_clips_is_asked_for_what_is_shown(folder: Path, tmp_path: Path) -> None:
    sources = [{"kind": "videos", "root": str(folder), "weight": 2}, {"kind": "photos", "root": str(folder)}]
    opened = open_sources(sources, READERS)
    write_pack(tmp_path / "train.zip", "clips", opened, probabilities={"photo": 1.0}, synth={})
    packed = build_set_clips([{"kind": "pack", "file": str(tmp_path / "train.zip"), "weight": 3}], SETTINGS)
    plain = build_set_clips(sources, SETTINGS)
    assert [(one.sort, one.count, one.weight) for one in packed.counts] == [("video", 1, 6), ("photo", 3, 3)]
    for index in range(6):
        assert packed[index].question == "shown" and packed[index].ids == plain[index].ids
        assert np.array_equal(packed[index].segments, plain[index].segments)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([{"kind": "videos", "root": "{}", "gaps": [1, 2]}], "data.sources.0.gaps are for stage=clip"),
        ([{"kind": "videos", "root": "{}", "near": 0}], "data.sources.0.near must be at least 1, not 0"),
        (
            [{"kind": "set", "name": "davis17", "root": "{}", "ask": {"words": 1}}],
            "data.sources.0.ask must be of shown",
        ),
        ([{"kind": "photos", "root": "{}", "weight": 0}], "no source with something in it and a weight above 0"),
        ([{"kind": "regions", "root": "{}"}], "unknown kind 'regions'; there are photos, coco, videos, set, pack"),
    ],
)
def test_what_is_wrong_with_a_source_is_one_line(folder: Path, sources: list[dict[str, Any]], message: str) -> None:
    given = [{**source, "root": str(folder)} for source in sources]
    with pytest.raises(UserError) as error:
        build_set_clips(given, SETTINGS)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_questions_that_a_set_cannot_answer() -> None:
    with pytest.raises(UserError, match="mine has no categories to be asked for; leave categories out of `ask`"):
        one().asking({"shown": 1, "categories": 1}, None, "mine")
    with pytest.raises(UserError, match="mine has no expressions to be asked for"):
        one(classes=CLASSES).asking({"expressions": 1}, None, "mine")
    asked = one(classes=CLASSES, described=True).asking({"shown": 1, "expressions": 0}, 7, "mine")
    assert asked.shares == {"shown": 1, "expressions": 0} and asked.near == 7


def test_clips_without_objects_are_drawn_again_and_in_the_end_said() -> None:
    nothing = LabelledSet([Made(6)], ("horse",))
    with pytest.raises(UserError, match="100 clips drawn from data.sources.0, none with any object"):
        SetClips([(nothing, 1.0)], SETTINGS)[0]


def test_a_source_may_say_how_far_apart_its_frames_lie() -> None:
    spans = {}
    for near in (1, None):
        clips = SetClips([(LabelledSet([Made(20)], near=near), 1.0)], replace(SETTINGS, frames=3, near=6))
        drawn = [clips[index].frame_indices for index in range(40)]
        spans[near] = max(last - first for first, _, last in drawn)
    assert spans[1] == 2 and 6 < spans[None] <= 12
