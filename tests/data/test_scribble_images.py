"""Training samples of scribbles: what belongs to what, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from univs.data import scribble_images
from univs.data.photo import Photo
from univs.data.photo_pool import PhotoPool
from univs.data.scribble_images import (
    ScribbleImages,
    VideoFrames,
    build_scribble_images,
    collate_scribbles,
    crop_photo,
)
from univs.errors import UserError
from univs.formats.sample import IGNORE


class Squares:
    """Photos of a bright square (object 1) and a dark one (object 2) on grey."""

    name = "squares"

    def __init__(self, objects: Sequence[int] = (1, 2)) -> None:
        self.objects = objects

    def __len__(self) -> int:
        return 2

    def nouns(self, index: int) -> frozenset[str]:
        return frozenset()

    def __getitem__(self, index: int) -> Photo:
        labels = np.zeros((150, 200), np.uint8)
        if 1 in self.objects:
            labels[30:100, 20:90] = 1
        if 2 in self.objects:
            labels[60:130, 110:180] = 2
        image = np.full((150, 200, 3), 120, np.uint8)
        image[labels == 1], image[labels == 2] = 250, 5
        return Photo(image, labels)


def images(first_rounds: float, objects: Sequence[int] = (1, 2), seed: int = 0) -> ScribbleImages:
    return ScribbleImages(PhotoPool([(Squares(objects), 1.0)]), size=96, first_rounds=first_rounds, seed=seed)


def test_samples_depend_on_index_and_seed_alone() -> None:
    one, other = images(0.3), images(0.3)
    for index in (0, 5, 10**7):
        a, b = one[index], other[index]
        assert np.array_equal(a.image, b.image) and np.array_equal(a.maps, b.maps) and np.array_equal(a.mask, b.mask)
    assert not np.array_equal(one[0].maps, images(0.3, seed=1)[0].maps)


def test_masks_lie_on_their_objects_and_strokes_on_what_is_wrong() -> None:
    for index in range(20):
        sample = images(0.4)[index]
        before, positive, negative = sample.maps.astype(bool)
        mask, known = sample.mask == 1, sample.mask != IGNORE
        assert mask.sum() >= 200 and set(np.unique(sample.mask)) <= {0, 1, IGNORE}
        assert positive.any() or negative.any()
        assert not (positive & ~mask).any() and not (negative & mask & known).any()
        inside, outside = sample.image[mask].mean(), sample.image[(sample.mask == 0)].mean()
        assert abs(inside - outside) > 15  # the object is the square and not something beside it


def test_rounds() -> None:
    assert not any(images(1.0)[index].maps[0].any() for index in range(8))
    single = images(0.0, objects=(1,))
    ious = []
    for index in range(12):
        sample = single[index]
        before, mask = sample.maps[0] > 0, sample.mask == 1
        ious.append((before & mask).sum() / (before | mask).sum())
    assert 0.3 < min(ious) < 0.75 and 0.75 < max(ious) < 0.96


def test_other_objects_are_drawn_at_or_taken_for_this_one() -> None:
    at, taken = 0, 0
    for index in range(40):
        sample = images(0.0)[index]
        dark = sample.image.mean(2) < 60 if sample.image[sample.mask == 1].mean() > 120 else sample.image.mean(2) > 200
        other = dark & (sample.mask == 0)
        if other.sum() > 300:
            at += bool((sample.maps[2][other] > 0).mean() > 0.01)
            taken += bool((sample.maps[0][other] > 0).mean() > 0.4)
    assert at > 3 and taken > 3


def test_crops_move_image_and_labels_alike() -> None:
    photo = Squares()[0]
    for seed in range(10):
        image, labels = crop_photo(photo, np.random.default_rng(seed), 96)
        assert image.shape == (96, 96, 3) and set(np.unique(labels)) <= {0, 1, 2, IGNORE}
        if (labels == 1).any():
            assert (image[labels == 1][:, 0] > 180).mean() > 0.9
        if (labels == 2).any():
            assert (image[labels == 2][:, 0] < 65).mean() > 0.9
    shares = [(crop_photo(photo, np.random.default_rng(s), 96)[1] == IGNORE).mean() for s in range(10)]
    assert np.mean(shares) < 0.25


def test_without_an_object_there_is_no_sample() -> None:
    with pytest.raises(UserError, match="none with an object of"):
        images(0.3, objects=())[0]


class Video:
    complete, annotated = True, (3, 7)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((300, 400, 3), 10 * index, np.uint8), np.full((300, 400), index + 1, np.uint8)


def test_frames_of_videos_are_photos() -> None:
    frames = VideoFrames("films", [Video(), Video()], longest=200)
    assert len(frames) == 4 and frames.nouns(0) == frozenset()
    photo = frames[3]
    assert photo.image.shape == (150, 200, 3) and (photo.image == 10).all() and (photo.labels == 2).all()
    assert photo.complete


def test_sources_by_their_settings(photo_folder: Path, video_folder: Path) -> None:
    sources = [
        {"kind": "photos", "root": str(photo_folder), "weight": 2},
        {"kind": "videos", "root": str(video_folder)},
    ]
    data = build_scribble_images(sources, size=64, first_rounds=0.5, seed=3, longest=60)
    assert data.photos.weights.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert (data.size, data.first_rounds, data.seed) == (64, 0.5, 3)
    assert [source[0].image.shape for source in data.photos.sources] == [(120, 160, 3), (45, 60, 3)]
    assert [(count.sort, count.count, count.weight) for count in data.counts] == [("photo", 3, 2), ("photo", 8, 1)]
    batch = collate_scribbles([data[0], data[1]])
    assert batch["frames"].shape == (2, 3, 64, 64) and batch["maps"].shape == (2, 3, 64, 64)
    assert torch.equal(batch["frames"][1], torch.from_numpy(data[1].image).permute(2, 0, 1))
    assert torch.equal(batch["masks"][1], torch.from_numpy(data[1].mask))
    with pytest.raises(UserError, match="unknown kind 'films'"):
        build_scribble_images([{"kind": "films"}], size=64, first_rounds=0.5)


def test_half_of_the_crops_are_mirrored() -> None:
    """The bright square lies left of the dark one, however a crop is turned."""
    mirrored = []
    for seed in range(100):
        _, labels = crop_photo(Squares()[0], np.random.default_rng(seed), 96)
        if min((labels == 1).sum(), (labels == 2).sum()) > 400:
            mirrored.append(np.nonzero(labels == 1)[1].mean() > np.nonzero(labels == 2)[1].mean())
    assert len(mirrored) > 50 and 0.3 < np.mean(mirrored) < 0.7


def test_colours_are_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scribble_images, "degrade", lambda frames, rng: frames)
    plain = images(0.5)[3]
    monkeypatch.setattr(scribble_images, "degrade", lambda frames, rng: 255 - frames)
    changed = images(0.5)[3]
    assert np.array_equal(changed.image, 255 - plain.image) and np.array_equal(changed.maps, plain.maps)


def test_what_is_unknown_is_neither_object_nor_background(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros((96, 96), np.uint8)
    labels[20:70, 10:50], labels[:, 60:] = 3, IGNORE
    image = np.zeros((96, 96, 3), np.uint8)
    monkeypatch.setattr(scribble_images, "crop_photo", lambda photo, rng, size: (image, labels))
    for index in range(10):
        sample = images(0.5)[index]
        assert np.array_equal(sample.mask, np.where(labels == 3, 1, labels))
        assert not sample.maps[1:, :, 60:].any(), "nobody can say what is wrong there"
