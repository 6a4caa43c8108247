"""Crops of labelled images with the names of what is on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("cv2")

from univs.data import word_batches  # noqa: E402
from univs.data.word_batches import WordImages, build_word_images, collate_words, open_semantic  # noqa: E402
from univs.errors import UserError  # noqa: E402
from univs.formats.sample import NO_CLASS, VideoSample  # noqa: E402

NAMES = ("cat", "dog", "grass")


class Yard:
    """Images of 60 x 90: a cat (id 3) left of a dog (id 5) on grass; colours say where (red x, green y)."""

    names = NAMES
    stuff_names = frozenset({"grass"})

    def __init__(
        self, *, panoptic: bool = True, complete: bool = True, expression: str = "", named: bool = True, count: int = 2
    ) -> None:
        self.panoptic, self.complete, self.expression, self.named, self.count = (
            panoptic, complete, expression, named, count,
        )  # fmt: skip

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> VideoSample:
        xs, ys = np.meshgrid(np.arange(90), np.arange(60))
        labels = np.zeros((1, 60, 90), np.uint8)
        labels[0, 10:50, 5:45], labels[0, 10:50, 45:85] = 3, 5
        whole = np.where(labels == 0, 9, labels).astype(np.uint8)
        return VideoSample(
            np.dstack([xs, ys, 0 * xs]).astype(np.uint8)[None],
            labels,
            {3: "cat", 5: "dog"} if self.named else {},
            self.complete,
            panoptic=whole if self.panoptic else None,
            stuff={9: "grass"} if self.panoptic else {},
            expressions={3: [self.expression]} if self.expression else {},
        )


@pytest.fixture(autouse=True)
def undamaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours are left as they are: they say where a pixel was taken from."""
    monkeypatch.setattr(word_batches, "degrade", lambda frames, rng: np.ascontiguousarray(frames))


def crops(source: Yard, count: int = 40, size: int = 48) -> list[word_batches.WordImage]:
    images = WordImages([(source, 1.0)], size=size)
    return [images[index] for index in range(count)]


def test_pixels_objects_and_classes_stay_together() -> None:
    mirrored, sides, ratios = [], [], []
    for crop in crops(Yard()):
        assert crop.image.shape == (48, 48, 3) and crop.objects.shape == crop.classes.shape == (48, 48)
        x, y = crop.image[..., 0].astype(int), crop.image[..., 1].astype(int)
        sure = (np.abs(x[..., None] - (5, 45, 85)) > 2).all(2) & (np.abs(y[..., None] - (10, 50)) > 2).all(2)
        inside = (y > 10) & (y < 50) & (x > 5) & (x < 85)
        want = np.where(inside, np.where(x < 45, 3, 5), 0)
        assert np.array_equal(crop.objects[sure], want[sure])
        assert np.array_equal(crop.classes[sure], np.select([want == 3, want == 5], [0, 1], 2)[sure])
        mirrored.append(x[0, 0] > x[0, -1])
        sides.append(np.ptp(y) + 1)
        ratios.append((np.ptp(x) + 1) / sides[-1])
    assert 0.3 < np.mean(mirrored) < 0.7
    assert min(sides) > 60 * 0.5**0.7 - 2 and max(sides) <= 60 and np.std(sides) > 3
    assert 0.8 < min(ratios) and 1.2 < max(ratios) < 1.6


def test_what_is_known_of_a_crop() -> None:
    crop = crops(Yard(complete=False), 1)[0]
    assert (crop.complete, crop.stuffed) == (False, True)
    assert crop.vocabulary.tolist() == [True] * 3 and crop.stuff.tolist() == [False, False, True]
    counts = np.bincount(crop.objects.ravel(), minlength=6)
    assert crop.object_classes == {i: n for i, n in ((3, 0), (5, 1)) if counts[i] >= 64} and crop.expression is None
    assert not crops(Yard(panoptic=False), 1)[0].stuffed and crops(Yard(), 1)[0].complete


def test_small_objects_are_not_listed() -> None:
    images = WordImages([(Yard(), 1.0)], size=24)
    for index in range(60):
        crop = images[index]
        counts = np.bincount(crop.objects.ravel(), minlength=6)
        assert set(crop.object_classes) == {i for i in (3, 5) if counts[i] >= 64}


def test_names_of_several_sources_are_numbered_together() -> None:
    class Zoo(Yard):
        names = ("ape", "dog")
        stuff_names = frozenset()

        def __getitem__(self, index: int) -> VideoSample:
            sample = super().__getitem__(index)
            return VideoSample(sample.frames, sample.labels, {3: "ape", 5: "fox"}, True)

    images = WordImages([(Yard(), 1.0), (Zoo(), 3.0), (Yard(count=0), 9.0), (Yard(), 0.0)], size=48)
    assert images.names == ("ape", "cat", "dog", "grass") and len(images.sources) == 2 and len(images) == 1_000_000
    made = [images[index] for index in range(80)]
    zoo = [crop for crop in made if crop.vocabulary.tolist() == [True, False, True, False]]
    yard = [crop for crop in made if crop.vocabulary.tolist() == [False, True, True, True]]
    assert len(zoo) + len(yard) == 80 and 0.6 < len(zoo) / 80 < 0.9, "by weight"
    assert all(set(crop.object_classes.values()) <= {0} and not crop.stuff.any() for crop in zoo)
    assert all(crop.stuff.tolist() == [False, False, False, True] for crop in yard)


def test_a_crop_depends_on_index_and_seed_alone() -> None:
    first, again, other = (WordImages([(Yard(), 1.0)], size=32, seed=seed) for seed in (1, 1, 2))
    forwards = [first[index].image for index in range(5)]
    backwards = [again[index].image for index in reversed(range(5))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert any(not np.array_equal(a, other[i].image) for i, a in enumerate(forwards))
    assert any(not np.array_equal(forwards[0], image) for image in forwards[1:])


def test_one_of_several_sizes_is_drawn_for_a_batch() -> None:
    images = WordImages([(Yard(), 1.0)], size=[32, 48, 64], together=4)
    sizes = [images[index].image.shape[0] for index in range(80)]
    assert {len(set(sizes[batch : batch + 4])) for batch in range(0, 80, 4)} == {1}
    assert set(sizes) == {32, 48, 64} and images[79].objects.shape == images[79].image.shape[:2]


def quarters(crop: word_batches.WordImage) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image, objects and classes of the four parts of a crop, by rows."""
    half = crop.image.shape[0] // 2
    spans = slice(0, half), slice(half, None)
    return [(crop.image[y, x], crop.objects[y, x], crop.classes[y, x]) for y in spans for x in spans]


def test_four_crops_make_one() -> None:
    given = [*crops(Yard(expression="the cat"), 3), crops(Yard(complete=False), 1)[0]]
    tiled = word_batches.tile_crops(given)
    assert tiled.image.shape == (96, 96, 3) and tiled.objects.shape == tiled.classes.shape == (96, 96)
    taken: list[int] = []
    for one, (image, objects, classes) in zip(given, quarters(tiled), strict=True):
        assert np.array_equal(image, one.image) and np.array_equal(classes, one.classes)
        there = [int(i) for i in np.unique(one.objects) if i]
        ids = [int(np.unique(objects[one.objects == i]).item()) for i in there]
        assert (objects[one.objects == 0] == 0).all() and not set(ids) & set(taken)
        named = {new: one.object_classes[old] for old, new in zip(there, ids, strict=True) if old in one.object_classes}
        assert named == {new: name for new, name in tiled.object_classes.items() if new in ids}
        taken += ids
    assert sorted(taken) == list(range(1, len(taken) + 1)) and set(tiled.object_classes) <= set(taken)
    assert len(tiled.object_classes) == sum(len(one.object_classes) for one in given) > 4
    assert (tiled.complete, tiled.stuffed, tiled.expression) == (False, True, None)
    assert tiled.vocabulary.tolist() == given[0].vocabulary.tolist()
    assert tiled.stuff.tolist() == given[0].stuff.tolist() and word_batches.tile_crops(given[:3] * 2).complete


def test_objects_for_which_no_id_is_left_are_unknown() -> None:
    one = crops(Yard(), 1)[0]
    objects = (np.arange(48 * 48) // 24 % 96 + 1).astype(np.uint8).reshape(48, 48)
    objects[0, :2] = 0, 255
    crowd = replace(one, objects=objects, object_classes=dict.fromkeys(range(1, 97), 1))
    tiled = word_batches.tile_crops([crowd] * 4)
    first, _, third, fourth = (objects for _, objects, _ in quarters(tiled))
    assert set(np.unique(tiled.objects)) == set(range(256)) == {0, 255, *tiled.object_classes}
    assert all(part[0, 0] == 0 and part[0, 1] == 255 for part in (first, third, fourth))
    assert np.array_equal(first[1:], objects[1:]) and (third == 255).sum() > 1 and (fourth[1:] == 255).all()


def test_a_share_of_the_large_crops_is_four_of_one_source(monkeypatch: pytest.MonkeyPatch) -> None:
    class Zoo(Yard):
        def __getitem__(self, index: int) -> VideoSample:
            sample = super().__getitem__(index)
            return replace(sample, frames=sample.frames + np.array([0, 0, 200], np.uint8))

    monkeypatch.setattr(word_batches, "TILED_FROM", 48)
    sources = [(Yard(), 1.0), (Zoo(), 1.0)]
    plain = WordImages(sources, size=[32, 48], seed=4)
    images = WordImages(sources, size=[32, 48], seed=4, tiled=0.3)
    whole = WordImages(sources, size=48, seed=4, tiled=1.0)
    four = [index for index in range(200) if max(images[index].object_classes, default=0) not in (0, 3, 5)]
    large = [index for index in range(200) if plain[index].image.shape[0] == 48]
    assert set(four) <= set(large) and 0.15 < len(four) / len(large) < 0.45
    for index in range(20):
        parts = quarters(whole[index])
        assert len({int(image[..., 2].max()) for image, _, _ in parts}) == 1, "of one source"
        assert all(np.ptp(image[..., 1]) > 30 for image, _, _ in parts), "each a crop of its own"
        assert any(not np.array_equal(parts[0][0], image) for image, _, _ in parts[1:])
        assert np.array_equal(images[index].image, images[index].image)


@pytest.mark.parametrize("text", ["the LEFT cat", "cat to the right"])
def test_expressions_of_sides_are_not_mirrored(text: str) -> None:
    said = 0
    for crop in crops(Yard(expression=text)):
        x = crop.image[0, :, 0].astype(int)
        if crop.expression:
            said += 1
            assert crop.expression == (3, text) and x[0] < x[-1]
    assert said > 30
    plain = crops(Yard(expression="the cat"))
    assert 0.2 < np.mean([crop.image[0, 0, 0] > crop.image[0, -1, 0] for crop in plain]) < 0.8


def test_crops_without_any_name_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []
    plain = Yard.__getitem__

    def item(self: Yard, index: int) -> VideoSample:
        tries.append(index)
        self.named = len(tries) == 3
        return plain(self, index)

    monkeypatch.setattr(Yard, "__getitem__", item)
    images = WordImages([(Yard(panoptic=False, named=False), 1.0)], size=48)
    assert (images[0].classes != NO_CLASS).any() and len(tries) == 3
    tries.extend([0] * 3)
    nothing = images[1]
    assert (nothing.classes == NO_CLASS).all() and len(tries) == 6 + word_batches.TRIES and not nothing.object_classes


def test_a_batch_of_crops() -> None:
    given = crops(Yard(expression="the cat"), 3)
    batch = collate_words(given)
    assert batch["frames"].shape == (3, 3, 48, 48) and batch["classes"].dtype == torch.long
    for b, crop in enumerate(given):
        assert np.array_equal(batch["frames"][b].permute(1, 2, 0).numpy(), crop.image)
        assert np.array_equal(batch["objects"][b].numpy(), crop.objects)
        assert np.array_equal(batch["classes"][b].numpy(), crop.classes)
        pairs = zip(batch["object_ids"][b].tolist(), batch["object_classes"][b].tolist(), strict=True)
        assert [pair for pair in pairs if pair[0]] == list(crop.object_classes.items())
        assert batch["vocabulary"][b].tolist() == crop.vocabulary.tolist()
        assert batch["stuff"][b].tolist() == crop.stuff.tolist()
    assert batch["complete"].tolist() == [True] * 3 == batch["stuffed"].tolist()
    assert batch["expressions"] == [(b, 3, "the cat") for b, crop in enumerate(given) if crop.expression]
    blank = collate_words(crops(Yard(named=False), 2))
    assert blank["object_ids"].tolist() == [[0], [0]] and blank["object_classes"].tolist() == [[NO_CLASS]] * 2
    assert blank["expressions"] == []


def test_nothing_to_draw_from_is_an_error() -> None:
    for sources in ([], [(Yard(), 0.0)], [(Yard(count=0), 1.0)]):
        with pytest.raises(UserError, match="no source with images and a positive weight"):
            WordImages(sources, size=32)


def test_the_built_in_world_is_a_source() -> None:
    images = build_word_images([{"kind": "synth", "size": [64, 64], "weight": 2}], size=32, seed=3)
    (source, weight), crop = images.sources[0], images[0]
    assert weight == 2 and images.seed == 3 and images.size == 32 and set(source.names) == set(images.names)
    assert crop.complete and crop.stuffed and crop.stuff.sum() == len(source.stuff_names) > 3
    sample = source[0]
    assert len(sample.frames) == 1 and {*sample.categories.values(), *sample.stuff.values()} <= set(images.names)
    with pytest.raises(UserError, match="unknown kind 'phtos'"):
        build_word_images([{"kind": "phtos"}], size=32)


def test_names_of_class_maps_may_be_a_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[Any, ...]] = []
    monkeypatch.setattr(word_batches, "SemanticImages", lambda *given: opened.append(given))
    open_semantic("a", "b", "camvid")
    open_semantic("a", "b", ["x", "y"])
    assert opened[0][:2] == ("a", "b") and "bicyclist" in {str(name).lower() for name in opened[0][2]}
    assert opened[1] == ("a", "b", ["x", "y"])


def test_large_crops_are_averaged_and_small_ones_blended(scripted: Callable[..., np.random.Generator]) -> None:
    """A crop that shrinks a chequered pattern is grey, not a pattern of its own."""

    class Chequered(Yard):
        def __getitem__(self, index: int) -> VideoSample:
            sample = super().__getitem__(index)
            chequer = (255 * (np.indices((60, 90)).sum(0) % 2)).astype(np.uint8)
            return VideoSample(np.repeat(chequer[None, ..., None], 3, 3), sample.labels, sample.categories, True)

    shrunk = crops(Chequered(), 10, size=12)
    assert max(crop.image.std() for crop in shrunk) < 40


def test_colours_of_crops_are_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = crops(Yard(), 2)
    monkeypatch.setattr(word_batches, "degrade", lambda frames, rng: 255 - frames)
    for before, after in zip(plain, crops(Yard(), 2), strict=True):
        assert np.array_equal(after.image, 255 - before.image) and np.array_equal(after.objects, before.objects)
