"""Training clips: reproducible, with targets in sight, from the sources they were told to use."""

from __future__ import annotations

import builtins
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("cv2")

from univs.data import (  # noqa: E402
    TrainingClips,
    VideoSample,
    build_clips,
    collate_clips,
)
from univs.data import clips as clips_module  # noqa: E402
from univs.data.clip_batches import listed_objects, stack_prompts  # noqa: E402
from univs.data.clips import (  # noqa: E402
    ClipSettings,
    GapGrowth,
    PromptDraws,
    VideoSource,
    choose_targets,
    prompt_clip,
    spread,
)
from univs.data.composites import Scene, composite_scene  # noqa: E402
from univs.data.prompt_drawing import draw_prompts  # noqa: E402
from univs.data.video_scenes import SampleVideo  # noqa: E402
from univs.data.warps import opencv  # noqa: E402
from univs.errors import UserError  # noqa: E402
from univs.training.loading import batches  # noqa: E402


class Worlds:
    """Two synthetic videos of six frames, object 5 moving down."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> VideoSample:
        labels = np.zeros((6, 80, 80), np.uint8)
        for frame in range(6):
            labels[frame, 10 + 5 * frame : 40 + 5 * frame, 20:60] = 5
        frames = np.repeat(labels[..., None] * 40, 3, axis=3)
        return VideoSample(frames, labels, complete=True)


@pytest.fixture
def clips(photo_folder: Path, coco_folder: Path, video_folder: Path) -> TrainingClips:
    sources: list[dict[str, Any]] = [
        {"kind": "photos", "root": photo_folder, "category": "cat"},
        {"kind": "coco", "root": coco_folder, "weight": 2},
        {"kind": "videos", "root": video_folder},
    ]
    probabilities = {"photo": 0.6, "video": 0.2, "worlds": 0.2}
    return build_clips(sources, probabilities, extra={"worlds": Worlds()}, size=64, frames=3, seed=3)


def test_clips_are_well_formed_and_targets_in_sight(clips: TrainingClips) -> None:
    kinds, counts = set(), set()
    for index in range(60):
        clip = clips[index]
        assert clip.frames.shape == (3, 64, 64, 3) and clip.frames.dtype == np.uint8
        assert clip.labels.shape == (3, 64, 64) and clip.labels.dtype == np.uint8
        assert 1 <= len(clip.targets) == len(set(clip.targets)) <= 2
        for target in clip.targets:
            assert 0 < target < 255 and (clip.labels[0] == target).mean() >= 0.003
        kinds.add(clip.kind)
        counts.add(len(clip.targets))
    assert kinds == {"static", "composite", "video", "worlds"} and counts == {1, 2}


def test_a_clip_depends_on_index_and_seed_alone(clips: TrainingClips) -> None:
    first = [clips[index] for index in range(12)]
    for index in reversed(range(12)):
        again = clips.changed()[index]
        assert np.array_equal(again.frames, first[index].frames) and np.array_equal(again.labels, first[index].labels)
        assert again.targets == first[index].targets
    other = clips.changed(seed=4)
    assert any(not np.array_equal(other[index].frames, first[index].frames) for index in range(12))


def test_changed_probabilities_and_sizes(clips: TrainingClips) -> None:
    videos = clips.changed(probabilities={"video": 1.0}, size=48, frames=2, max_objects=1)
    for index in range(6):
        clip = videos[index]
        assert clip.kind == "video" and clip.frames.shape == (2, 48, 48, 3) and len(clip.targets) == 1
    with pytest.raises(UserError, match="no source for .*moon"):
        clips.changed(probabilities={"moon": 1.0})


def test_the_clips_of_a_batch_share_one_of_several_sizes(clips: TrainingClips) -> None:
    sizes = (32, 48, 64)
    several = clips.changed(size=sizes, together=3)
    drawn = [several.settings.size_of(index) for index in range(900)]
    assert all(len(set(drawn[start : start + 3])) == 1 for start in range(0, 900, 3))
    assert all(70 < drawn[::3].count(size) < 130 for size in sizes)
    for index in (0, 1, 5, 7):
        assert several[index].frames.shape == (3, drawn[index], drawn[index], 3)
    assert drawn != [clips.changed(size=sizes, together=3, seed=9).settings.size_of(index) for index in range(900)]
    alone = clips.changed(size=(64,))[4]  # a clip is the same whether its size was drawn or given
    assert np.array_equal(alone.frames, clips[4].frames) and alone.targets == clips[4].targets


def test_single_frames_are_possible(clips: TrainingClips) -> None:
    assert all(clips.changed(frames=1)[index].frames.shape == (1, 64, 64, 3) for index in range(20))


def test_excluded_files_are_never_read(coco_folder: Path, video_folder: Path) -> None:
    sources: list[dict[str, Any]] = [
        {"kind": "coco", "root": coco_folder, "exclude": ["coco/1.jpg"]},
        {"kind": "videos", "root": video_folder, "exclude": ["davis/walk"]},
    ]
    clips = build_clips(sources, {"photo": 0.5, "video": 0.5}, size=48)
    (coco_folder / "images/1.jpg").unlink()
    for path in (video_folder / "JPEGImages/480p/walk").iterdir():
        path.write_bytes(b"")
    assert {clips[index].kind for index in range(30)} >= {"video"}


def test_composites_hold_new_objects_above_the_old_ids(clips: TrainingClips) -> None:
    assert clips.photos is not None
    for seed in range(10):
        scene = composite_scene(clips.photos, np.random.default_rng(seed), 3, 64)
        assert scene.favoured and max(scene.favoured) <= 254
        assert len(set(scene.favoured)) == len(scene.favoured)


def test_targets_are_large_enough_and_favoured() -> None:
    labels = np.zeros((1, 100, 100), np.uint8)
    labels[0, :2, :10] = 1  # 0.2 %
    labels[0, 20:40, :20] = 2
    labels[0, 60:80, :20] = 3
    labels[0, 90:, :] = 255
    scene = Scene(np.zeros((1, 100, 100, 3), np.uint8), labels, True, favoured=[3])
    rng = np.random.default_rng(0)
    drawn = [choose_targets(scene, rng, 1, 0.003)[0] for _ in range(400)]
    assert set(drawn) == {2, 3}
    assert np.mean(np.array(drawn) == 3) == pytest.approx(0.8, abs=0.06), "favoured by four to one"
    assert choose_targets(Scene(scene.frames, labels * 0, True), rng, 2, 0.003) == ()


def test_collate_pads_targets(clips: TrainingClips) -> None:
    items = [clips[index] for index in range(8)]
    batch = collate_clips(items)
    assert batch["frames"].shape == (8, 3, 3, 64, 64) and batch["frames"].dtype == torch.uint8
    assert batch["labels"].shape == (8, 3, 64, 64) and batch["labels"].dtype == torch.uint8
    assert torch.equal(batch["frames"][2, 1, 0], torch.from_numpy(items[2].frames[1, ..., 0]))
    for row, clip in zip(batch["targets"].tolist(), items, strict=True):
        assert row == list(clip.targets) + [0] * (len(row) - len(clip.targets))
    assert batch["complete"].tolist() == [clip.complete for clip in items]


def test_source_mistakes_are_said_plainly(photo_folder: Path) -> None:
    with pytest.raises(UserError, match="unknown kind 'phtos'"):
        build_clips([{"kind": "phtos", "root": photo_folder}], {"photo": 1})
    with pytest.raises(UserError, match="rot"):
        build_clips([{"kind": "photos", "rot": photo_folder}], {"photo": 1})
    with pytest.raises(UserError, match="no source for .*video"):
        build_clips([{"kind": "photos", "root": photo_folder}], {"photo": 1, "video": 1})


def test_missing_opencv_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "cv2":
            raise ImportError(name)
        return found(name, *args, **kwargs)

    opencv.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install univs\[train\]"):
        opencv()
    opencv.cache_clear()


class Counting:
    """Videos of four frames whose brightness is 40 times their index; object 2 moves down."""

    def __init__(self, complete: bool = True) -> None:
        self.complete = complete

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> VideoSample:
        labels = np.zeros((4, 64, 64), np.uint8)
        for t in range(4):
            labels[t, 20 + 3 * t : 40 + 3 * t, 20:44] = 2
        labels[:, :, :3] = 255
        return VideoSample(
            np.repeat((40 * np.arange(4, dtype=np.uint8))[:, None, None, None], 64 * 64 * 3, 1).reshape(4, 64, 64, 3),
            labels, complete=self.complete,
        )  # fmt: skip


def counting(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> TrainingClips:
    """Clips of `Counting` alone, colours left as they are."""
    monkeypatch.setattr(clips_module, "degrade", lambda frames, rng: np.ascontiguousarray(frames))
    return TrainingClips(
        ClipSettings({"count": 1.0}, **{"frames": 3, "size": 32, **settings}), extra={"count": Counting()}
    )


def test_half_of_the_clips_run_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    made = counting(monkeypatch)
    ways = [np.sign(np.diff(made[index].frames[:, 0, 0, 0].astype(int))) for index in range(60)]
    for index, way in enumerate(ways):  # object 2 moves down as time goes on
        rows = [np.nonzero(labels == 2)[0].mean() for labels in made[index].labels]
        assert (np.sign(np.diff(rows)) == way).all()
    assert all(abs(way.sum()) == 2 for way in ways) and 0.3 < np.mean([way[0] < 0 for way in ways]) < 0.7


def test_targets_and_prompts_are_those_of_the_first_frame(clips: TrainingClips) -> None:
    for index in range(30):
        clip = clips[index]
        assert set(clip.first.ids.tolist()) - {0} == set(clip.targets)
        assert all((clip.labels[0] == number).any() for number in clip.targets)
        assert len(clip.anew) == 2
        for prompts, labels in zip(clip.anew, (clip.labels[0], clip.labels[2]), strict=True):
            assert all((labels == number).sum() >= 64 for number in prompts.ids if number)


def test_a_clip_says_whether_all_objects_are_labelled_and_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    made = counting(monkeypatch)
    assert made[0].complete and made[0].kind == "count"
    made.extra["count"] = Counting(complete=False)
    assert not made[0].complete
    with pytest.raises(UserError, match="100 clips drawn, none with an object on its first frame"):
        made.changed(least_share=1.1)[0]


def test_clips_never_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of 300,000 steps of 7 goes on where it left off, far behind what `len` says to samplers of torch."""
    made = counting(monkeypatch)
    later = batches(made, 7, 0, 0, 1, collate_clips)(299_999)
    frames = next(later)["frames"]
    assert len(made) == 1_000_000 and len(np.unique(frames[:, 0, 0, 0, 0])) > 1
    for row, index in enumerate(range(7 * 299_999, 7 * 300_000)):
        assert np.array_equal(frames[row].permute(0, 2, 3, 1), made[index].frames)
    with pytest.raises(IndexError):
        made[-1]
    with pytest.raises(TypeError):
        made[0.5]  # type: ignore[index]


def test_kinds_are_drawn_by_their_probabilities(clips: TrainingClips) -> None:
    kinds = [clips.changed(frames=1, size=32)[index].kind for index in range(150)]
    assert 0.1 < kinds.count("video") / 150 < 0.3 and 0.1 < kinds.count("worlds") / 150 < 0.3
    photos = kinds.count("static") + kinds.count("composite")
    assert 0.5 < kinds.count("composite") / photos < 0.8
    static = clips.changed(probabilities={"photo": 1.0}, composite_share=0.0, frames=1, size=32)
    assert {static[index].kind for index in range(10)} == {"static"}


def test_videos_are_drawn_by_the_weight_of_their_source(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = SampleVideo(Worlds()[0]), SampleVideo(Counting()[0])
    seen: list[tuple[object, object]] = []
    monkeypatch.setattr(
        clips_module, "video_scene", lambda video, rng, frames, size, *, gaps, pool: seen.append((video, gaps))
    )
    videos = [VideoSource([one], 3.0, (1, 2)), VideoSource([two], 1.0, (2, 4)), VideoSource([two], 0.0)]
    made = TrainingClips(ClipSettings({"video": 1.0}), videos=videos)
    assert len(made.videos) == 2
    rng = np.random.default_rng(0)
    assert {made.scene("video", rng, 64, 0)[1] for _ in range(300)} == {"video"}
    assert abs(sum(video is one for video, _ in seen) / 300 - 0.75) < 0.08
    assert {(video is one, gaps) for video, gaps in seen} == {(True, (1, 2)), (False, (2, 4))}


def test_gaps_grow_along_a_run_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    growth = GapGrowth(((0, 1), (0.1, 2), (0.4, 5), (0.9, 1)), 1000)
    found = [growth.gaps((1, 5), index) for index in (0, 99, 100, 399, 400, 899, 900, 5000)]
    assert found == [(1, 5), (1, 5), (1, 10), (1, 10), (1, 25), (1, 25), (1, 5), (1, 5)]
    assert growth.gaps((2, 2), 0) == (2, 2) and growth.gaps((1, 1), 500) == (1, 5)
    assert GapGrowth(((0, 0.1),), 10).gaps((3, 4), 0) == (3, 3)
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(clips_module, "video_scene", lambda *given, gaps, pool: seen.append(gaps))
    made = TrainingClips(ClipSettings({"video": 1.0}, growth=growth), videos=[VideoSource([object()], 1.0, (1, 5))])  # type: ignore[list-item]
    for index in (0, 450):
        made.scene("video", np.random.default_rng(0), 64, index)
    assert seen == [(1, 5), (1, 25)]


def test_probabilities_without_a_source_or_all_zero() -> None:
    for name, words in (("photo", "kind: photos, coco, regions or set"), ("video", "kind: videos or set")):
        with pytest.raises(UserError, match=f"no source for {name}, drawn with 0.5; add a source of {name}s .{words}"):
            TrainingClips(ClipSettings({name: 0.5}))
    with pytest.raises(UserError, match=r"no source for moon, drawn with 2; set data.probabilities.moon=0"):
        TrainingClips(ClipSettings({"moon": 2, "photo": 0}))
    with pytest.raises(UserError, match="all are 0"):
        TrainingClips(ClipSettings({"photo": 0}))


def test_one_to_so_many_targets_larger_ones_more_often() -> None:
    labels = np.zeros((1, 100, 100), np.uint8)
    labels[0, :40, :40], labels[0, 50:70, :20], labels[0, 80:90, :10] = 1, 2, 3
    scene = Scene(np.zeros((1, 100, 100, 3), np.uint8), labels, True)
    rng = np.random.default_rng(0)
    drawn = [choose_targets(scene, rng, 2, 0.003) for _ in range(400)]
    assert abs(np.mean([len(ids) == 2 for ids in drawn]) - 0.5) < 0.08
    single = [ids[0] for ids in drawn if len(ids) == 1]
    for number, share in ((1, 4 / 7), (2, 2 / 7), (3, 1 / 7)):  # square roots of areas
        assert abs(single.count(number) / len(single) - share) < 0.1
    assert all(len(set(ids)) == len(ids) for ids in drawn)
    assert {len(choose_targets(scene, rng, 9, 0.003)) for _ in range(60)} == {1, 2, 3}
    assert {choose_targets(scene, rng, 1, 0.04)[0] for _ in range(40)} == {1, 2}


def test_what_is_usual() -> None:
    """The numbers that hold where a source or a caller says nothing."""
    assert VideoSource([]).weight == 1 and VideoSource([]).gaps == (1, 2)
    usual = ClipSettings({})
    assert (usual.frames, usual.size, usual.max_objects, usual.seed, usual.length) == (4, 256, 2, 0, 1_000_000)
    assert (usual.least_share, usual.composite_share) == (0.003, 0.65)
    assert usual.prompts == PromptDraws({"mask": 1.0}, {"box": 0.4, "point": 0.4, "scribble": 0.2}, 2, 4)


def test_frames_are_spread_evenly() -> None:
    assert [spread(*given) for given in ((4, 2), (4, 1), (5, 3), (3, 9), (1, 2))] == [
        [0, 3], [0], [0, 2, 4], [0, 1, 2], [0]
    ]  # fmt: skip


def test_a_frame_without_objects_prompts_nothing() -> None:
    labels = np.zeros((2, 64, 64), np.uint8)
    labels[0, 10:40, 10:40] = 6
    settings = ClipSettings({}, max_objects=3, prompts=PromptDraws({"box": 1.0}, {"point": 1.0}, 2, 5))
    first, (start, end) = prompt_clip(np.random.default_rng(0), labels, (6,), settings)
    assert first.ids.tolist() == [6, 0, 0] and first.boxes[0].any() and not first.points.any()
    assert start.ids.tolist() == [6, 0, 0, 0, 0] and start.points[0].any() and not start.boxes.any()
    assert not end.ids.any() and end.kinds.tolist() == [0] * 5


def test_a_batch_holds_prompts_frame_after_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """F = frames prompted anew times clips: time first, then clip; rows up to what any of them has."""
    made = counting(monkeypatch, max_objects=3)
    items = [made[index] for index in range(3)]
    items[1] = dataclasses.replace(items[1], complete=False)
    wide = items[2].labels.copy()
    wide[2, 4:14, 8:28], wide[2, 20:30, 4:12] = 7, 9
    items[2] = dataclasses.replace(items[2], labels=wide)
    batch = collate_clips(items)
    anew = batch["anew"]
    assert anew["frame_index"].tolist() == [0, 1, 2, 6, 7, 8] and anew["complete"].tolist() == [0, 2, 3, 5]
    assert anew["objects"].tolist()[:5] == [[2, 0, 0]] * 5
    assert anew["objects"][5].tolist() == listed_objects(wide[2]).tolist() == [2, 7, 9][: len(listed_objects(wide[2]))]
    for row, (time, clip) in enumerate((t, c) for t in (0, 1) for c in range(3)):
        given = items[clip].anew[time]
        for name in ("ids", "kinds", "boxes", "points", "signs"):
            assert torch.equal(anew[name][row], torch.from_numpy(getattr(given, name)[:1]))
        assert torch.equal(anew["strokes"][row], torch.from_numpy(given.strokes))
    for b, item in enumerate(items):
        assert batch["first"]["ids"][b].tolist() == [2] == list(item.targets)
        assert torch.equal(batch["first"]["strokes"][b], torch.from_numpy(item.first.strokes))


def test_stacked_prompts_have_at_least_one_row() -> None:
    none = draw_prompts(np.random.default_rng(0), np.zeros((8, 8), np.uint8), [], {"box": 1.0}, 4)
    two = draw_prompts(np.random.default_rng(0), np.eye(8, dtype=np.uint8) * 3 + 1, [4, 1], {"box": 1.0}, 4)
    assert stack_prompts([none])["ids"].tolist() == [[0]]
    assert stack_prompts([none, two])["ids"].tolist() == [[0, 0], [4, 1]]
    assert stack_prompts([two], 3)["boxes"].shape == (1, 3, 4) and stack_prompts([two])["strokes"].shape == (1, 8, 8)


def test_sources_become_photos_and_videos(photo_folder: Path, video_folder: Path) -> None:
    sources: list[dict[str, Any]] = [
        {"kind": "photos", "root": photo_folder, "weight": 2},
        {"kind": "photos", "root": photo_folder, "weight": 6},
        {"kind": "videos", "root": video_folder, "weight": 5, "gaps": [2, 3]},
    ]
    made = build_clips(sources, {"photo": 1, "video": 1}, cache_bytes=600, frames=5)
    assert made.photos is not None and made.photos.weights.tolist() == [0.25, 0.75]
    assert [source.capacity for source in made.photos.sources] == [300, 300]
    (video,) = made.videos
    assert video.weight == 5 and tuple(video.gaps) == (2, 3) and made.settings.frames == 5
    sources[0]["weight"] = sources[1]["weight"] = 0
    assert build_clips(sources, {"video": 1}).photos is None
