"""Public sets as training data, on exports of the built-in world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from univs.data import build_clips
from univs.data.public_sources import AnnotatedVideo, SetPhotos, open_set
from univs.data.synth import SynthVS
from univs.errors import UserError
from univs.formats import find_set, read_set


def export(name: str, root: Path) -> Path:
    known, world = find_set(name), SynthVS("val", (128, 192), 4, seed=5)
    known.load().write([world[0], world[1]], root, "train", **known.options)
    return root


def test_videos_are_read_at_their_annotated_frames(tmp_path: Path) -> None:
    root = export("ytvos19", tmp_path)
    videos = open_set("ytvos19", root)
    assert isinstance(videos, list) and all(isinstance(video, AnnotatedVideo) for video in videos)
    recordings = read_set("ytvos19", root, "train").recordings
    assert [len(video) for video in videos] == [len(recording.annotated) for recording in recordings]
    sample = recordings[1].sample()
    for index in range(len(videos[1])):
        frame, labels = videos[1].read(index)
        np.testing.assert_array_equal(frame, sample.frames[index])
        np.testing.assert_array_equal(labels, sample.labels[index])
    left = open_set("ytvos19", root, exclude=[recordings[0].name])
    assert isinstance(left, list) and [video.recording.name for video in left] == [recordings[1].name]
    with pytest.raises(UserError, match="no labelled video left"):
        open_set("ytvos19", root, exclude=[recording.name for recording in recordings])


def test_images_are_photos_with_their_nouns(tmp_path: Path) -> None:
    root = export("coco", tmp_path)
    photos = open_set("coco", root, longest=48)
    assert isinstance(photos, SetPhotos) and len(photos) == 8
    photo = photos[2]
    assert photo.image.shape == (32, 48, 3) and photo.labels.shape == (32, 48)
    assert photos.nouns(2) == set(photo.categories.values()) != set()


def test_clips_are_made_of_sets(tmp_path: Path) -> None:
    sources = [
        {"kind": "set", "name": "ytvos19", "root": export("ytvos19", tmp_path / "a"), "gaps": [1, 1]},
        {"kind": "set", "name": "coco", "root": export("coco", tmp_path / "b")},
    ]
    clips = build_clips(sources, {"video": 1, "photo": 1}, frames=2, size=64, length=6, seed=1)
    kinds = {clips[index].kind for index in range(6)}
    assert "video" in kinds and kinds & {"static", "composite"}
    with pytest.raises(UserError, match="unknown data set ytvos17: did you mean ytvos1"):
        build_clips([{"kind": "set", "name": "ytvos17", "root": tmp_path}], {"video": 1})
