"""Training clips: reproducible, with targets in sight, from the sources they were told to use."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("cv2")

from univs.data import TrainingClips, VideoSample, build_clips, collate_clips  # noqa: E402
from univs.data.clips import choose_targets  # noqa: E402
from univs.data.composites import Scene, composite_scene  # noqa: E402
from univs.data.warps import opencv  # noqa: E402
from univs.errors import UserError  # noqa: E402


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
