"""Weighted draws of photos and of objects on them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from univs.data.photo import Photo
from univs.data.photo_pool import LEAST_OBJECT, PhotoPool, cuttable, object_areas
from univs.errors import UserError


class Squares:
    """Photos of 60 x 60 with a square of a side (0: none), of one category."""

    def __init__(self, name: str, side: int, count: int = 3, at: int = 10) -> None:
        self.name, self.side, self.count, self.at = name, side, count, at

    def __len__(self) -> int:
        return self.count

    def nouns(self, index: int) -> frozenset[str]:
        return frozenset({self.name})

    def __getitem__(self, index: int) -> Photo:
        labels = np.zeros((60, 60), np.uint8)
        labels[self.at : self.at + self.side, self.at : self.at + self.side] = 4
        return Photo(np.zeros((60, 60, 3), np.uint8), labels, {4: self.name}, name=f"{self.name}/{index}")


def test_sources_are_drawn_by_weight_and_photos_evenly() -> None:
    pool = PhotoPool([(Squares("cat", 30), 3.0), (Squares("dog", 30, 5), 1.0), (Squares("owl", 30), 0.0)])
    rng = np.random.default_rng(0)
    drawn = Counter(pool.draw(rng).name for _ in range(1200))
    assert set(drawn) == {f"cat/{i}" for i in range(3)} | {f"dog/{i}" for i in range(5)}
    for name, count in drawn.items():
        assert count / 1200 == pytest.approx(0.25 if name.startswith("cat") else 0.05, abs=0.05)
    assert pool.weights.tolist() == [0.75, 0.25]


@pytest.mark.parametrize("sources", [[], [(Squares("cat", 30), 0.0)], [(Squares("cat", 30, 0), 1.0)]])
def test_a_pool_of_nothing_is_an_error(sources: list[tuple[Squares, float]]) -> None:
    with pytest.raises(UserError, match="no source with photos and a positive weight"):
        PhotoPool(sources)


def test_memory_is_shared_by_the_number_of_photos() -> None:
    pool = PhotoPool([(Squares("cat", 30, 3), 1.0), (Squares("dog", 30, 1), 5.0)], cache_bytes=1000)
    assert [source.capacity for source in pool.sources] == [750, 250]


def test_labelled_photos_have_an_object_of_some_size() -> None:
    pool = PhotoPool([(Squares("cat", 22), 1.0), (Squares("dog", 23), 1.0)])
    rng = np.random.default_rng(0)
    assert {pool.draw_labelled(rng).name[:3] for _ in range(40)} == {"dog"}, "22 x 22 are less than 500"
    with pytest.raises(UserError, match="1000 photos drawn, none with an object of 500 pixels"):
        PhotoPool([(Squares("cat", 22), 1.0)]).draw_labelled(rng)


def test_objects_are_drawn_from_any_photo_or_of_a_category() -> None:
    pool = PhotoPool([(Squares("cat", 30), 1.0), (Squares("dog", 30), 1.0), (Squares("ant", 9), 1.0)])
    rng = np.random.default_rng(0)
    drawn = Counter(pool.draw_object(rng)[0].categories[4] for _ in range(200))
    assert set(drawn) == {"cat", "dog"} and abs(drawn["cat"] - 100) < 35
    of_dogs = [pool.draw_object(rng, "dog") for _ in range(20)]
    assert {photo.categories[4] for photo, _ in of_dogs} == {"dog"} and {number for _, number in of_dogs} == {4}
    for category in ("ant", "yak"):  # too small everywhere, and on no photo
        assert {pool.draw_object(rng, category)[0].categories[4] for _ in range(40)} == {"cat", "dog"}
    with pytest.raises(UserError, match="none with an object that lies whole in the photo"):
        PhotoPool([(Squares("cat", 40, at=30), 1.0)]).draw_object(rng)


def test_areas_of_objects() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[0, :5], labels[1, :6], labels[2:4], labels[5] = 3, 9, 255, 254
    for least, want in ((6, {9: 6, 254: 20}), (5, {3: 5, 9: 6, 254: 20}), (0, {3: 5, 9: 6, 254: 20}), (21, {})):
        ids, areas = object_areas(labels, least)
        assert dict(zip(ids.tolist(), areas.tolist(), strict=True)) == want


def test_objects_cut_off_by_the_border_are_not_cut_out() -> None:
    """At most a fifth of a square's outline may lie on it: 24 pixels of 30 x 30."""
    assert LEAST_OBJECT == 500
    labels = np.zeros((100, 100), np.uint8)
    labels[0:30, 35:65] = 1  # 30 pixels on the border, 24 are allowed
    labels[40:70, 0:30] = 2
    labels[40:62, 40:62] = 3  # 484 pixels
    labels[40:63, 70:93] = 4
    assert cuttable(labels) == [4]
    labels[0, 40:50] = 0
    labels[40:50, 0] = 0
    assert cuttable(labels) == [1, 2, 4], "20 pixels are fewer than 24"
    for turned in (labels[::-1], labels[:, ::-1], labels.T):
        assert cuttable(turned) == [1, 2, 4]
    labels[0, 35:65] = 1
    labels[40:70, 0] = 2
    for turned in (labels[::-1], labels[:, ::-1], labels.T):
        assert cuttable(turned) == [4]


class Pets:
    """A photo with a cat (3) and a dog (5), both of which can be cut out."""

    name = "pets"

    def __len__(self) -> int:
        return 1

    def nouns(self, index: int) -> frozenset[str]:
        return frozenset({"cat", "dog"})

    def __getitem__(self, index: int) -> Photo:
        labels = np.zeros((80, 80), np.uint8)
        labels[5:35, 5:35], labels[40:75, 40:75] = 3, 5
        return Photo(np.zeros((80, 80, 3), np.uint8), labels, {3: "cat", 5: "dog"})


def test_an_object_of_a_category_is_that_one_and_not_its_neighbour() -> None:
    pool, rng = PhotoPool([(Pets(), 1.0)]), np.random.default_rng(0)
    assert {pool.draw_object(rng, "dog")[1] for _ in range(20)} == {5}
    assert {pool.draw_object(rng)[1] for _ in range(20)} == {3, 5}
