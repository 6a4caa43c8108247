"""Samples of the portrait net: who counts as people, and what the mask of the frame before is like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs.data import portrait_images
from univs.data.photo import Photo
from univs.data.photo_pool import PhotoPool
from univs.data.portrait_images import (
    KINDS,
    Portraits,
    bent,
    build_portraits,
    collate_portraits,
    moved,
    people,
    pixels,
    shows_nobody,
    warped,
    worn,
)
from univs.errors import UserError

SIZE = 64


def photo(categories: dict[int, str], complete: bool = True, seed: int = 0) -> Photo:
    """Object 1 on the left, object 2 on the right, something unknown in a corner."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((80, 100), np.uint8)
    labels[20:70, 15:45], labels[20:70, 60:90] = 1, 2
    labels[:4, :4] = 255
    return Photo(rng.integers(0, 256, (80, 100, 3), dtype=np.uint8), labels, categories, complete)


def known(categories: dict[int, str], complete: bool = True, seed: int = 0) -> Photo:
    """The same without the unknown corner."""
    made = photo(categories, complete, seed)
    made.labels[:4, :4] = 0
    return made


class Photos:
    """A source of these photos."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        self.name, self.photos = "photos", photos

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Photo:
        return self.photos[index]

    def nouns(self, index: int) -> frozenset[str]:
        return frozenset(self.photos[index].categories.values())


def test_people_are_those_called_so_or_all_where_nothing_has_a_name() -> None:
    named = people(photo({1: "person", 2: "dog"}))
    assert set(np.unique(named[:, :50])) == {0, 1, 255} and set(np.unique(named[:, 50:])) == {0}
    unnamed = people(photo({}))
    assert unnamed[40, 30] == unnamed[40, 75] == 1 and unnamed[0, 0] == 255 and unnamed[75, 50] == 0


def test_nobody_is_shown_where_all_is_known_and_named() -> None:
    """Something unknown may be a crowd: no other people may stand before it, as if it were background."""
    assert shows_nobody(known({1: "dog", 2: "cat"})) and not shows_nobody(known({1: "dog", 2: "person"}))
    assert not shows_nobody(known({1: "dog"}, complete=False)) and not shows_nobody(known({}))
    crowd = photo({1: "dog", 2: "cat"})
    assert not shows_nobody(crowd)
    image, mask = np.full((SIZE, SIZE, 3), 200, np.uint8), np.ones((SIZE, SIZE), np.uint8)
    mask[:, 30:] = 0
    samples = Portraits(PhotoPool([(Photos([crowd]), 1.0)]), size=SIZE)
    assert samples._elsewhere(image, mask, np.random.default_rng(0)) is image


def test_samples_depend_on_index_and_seed_alone() -> None:
    pool = PhotoPool([(Photos([photo({1: "person"}), photo({2: "dog"}, seed=1)]), 1.0)])
    one, two, other = (Portraits(pool, size=SIZE, seed=seed) for seed in (3, 3, 4))
    for index in (5, 0):
        assert all(
            np.array_equal(a, b) for a, b in zip(vars(one[index]).values(), vars(two[index]).values(), strict=True)
        )
    assert not np.array_equal(one[5].image, other[5].image)
    for index in range(40):
        sample = one[index]
        assert sample.image.shape == (SIZE, SIZE, 3) and sample.image.dtype == np.uint8
        assert sample.mask.shape == sample.before.shape == (SIZE, SIZE)
        assert set(np.unique(sample.mask)) <= {0, 1, 255}


def test_how_often_the_mask_before_is_what() -> None:
    """Of 300 samples about a quarter have none; most others overlap the true one."""
    pool = PhotoPool([(Photos([photo({1: "person"})]), 1.0)])
    samples = Portraits(pool, size=SIZE)
    true, before = (
        np.stack(parts)
        for parts in zip(*((s.mask == 1, s.before > 127) for s in map(samples.__getitem__, range(300))), strict=True)
    )
    large = true.sum((1, 2)) > 200
    share = before[large].sum((1, 2)) < 0.1 * true[large].sum((1, 2))
    assert KINDS["empty"] - 0.08 < share.mean() < KINDS["empty"] + 0.15
    some = before[large][~share], true[large][~share]
    overlap = (some[0] & some[1]).sum((1, 2)) / (some[0] | some[1]).sum((1, 2))
    assert (overlap > 0.5).mean() > 0.6 and (overlap < 0.3).mean() > 0.02
    assert sum(KINDS.values()) == pytest.approx(1)


class Watched(Portraits):
    """Keeps what was cropped, and whom it put before another photo."""

    def _crop(self, rng: np.random.Generator, nobody: bool) -> tuple[np.ndarray, np.ndarray]:
        self.crops.append((nobody, *super()._crop(rng, nobody)))
        return self.crops[-1][1:]

    def _elsewhere(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        self.replaced.append((mask, super()._elsewhere(image, mask, rng)))
        return self.replaced[-1][1]

    crops: list[tuple[bool, np.ndarray, np.ndarray]]
    replaced: list[tuple[np.ndarray, np.ndarray]]


def test_every_sample_is_made_as_its_kind_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing worn or degraded: which pictures and masks are moved by what, and how often."""
    made: list[tuple[str, bool, np.ndarray]] = []

    def watched_moved(rng: np.random.Generator, size: int, far: bool) -> np.ndarray:
        made.append(("moved", far, moved(rng, size, far)))
        return made[-1][2]

    def watched_bent(rng: np.random.Generator, size: int) -> np.ndarray:
        made.append(("bent", False, bent(rng, size)))
        return made[-1][2]

    monkeypatch.setattr(portrait_images, "moved", watched_moved)
    monkeypatch.setattr(portrait_images, "bent", watched_bent)
    monkeypatch.setattr(portrait_images, "degrade", lambda images, rng: 255 - images)
    monkeypatch.setattr(portrait_images, "worn", lambda mask, rng: np.rint(mask * 255).astype(np.uint8))
    somebody, unknown, animal = known({1: "person"}), photo({1: "person"}, seed=2), known({2: "dog"}, seed=1)
    samples = Watched(PhotoPool([(Photos([somebody, unknown, animal]), 1.0)]), size=32, seed=7)
    kinds, far, ways, nobody, before_others, whole = [], [], [], 0, 0, 0
    for index in range(500):
        made.clear()
        samples.crops, samples.replaced = [], []
        sample = samples[index]
        alone, image, mask = samples.crops[0]
        nobody += alone
        assert not (alone and (mask == 1).any()), "a photo that shows nobody"
        if (mask == 1).any() and not (mask == 255).any():
            whole, before_others = whole + 1, before_others + len(samples.replaced)
        else:
            assert not samples.replaced, "who is partly unknown stays where he is"
        if samples.replaced:
            image = samples.replaced[0][1]
        true = (mask == 1).astype(np.float32)
        before, shown = sample.before, 255 - sample.image
        kinds.append(made[0][0] if made else "other" if len(samples.crops) > 1 else "empty")
        still = np.array_equal(shown, image) and np.array_equal(sample.mask, mask)
        if kinds[-1] == "empty":
            assert still and not before.any()
        elif kinds[-1] == "other":
            assert still and not samples.crops[1][0]
            assert np.array_equal(before, 255 * (samples.crops[1][2] == 1))
        else:
            places = made[0][2]
            carried = np.array_equal(before, np.rint(warped(true, places) * 255)) and still
            gone_on = np.array_equal(before, 255 * true) and np.array_equal(shown, warped(image, places))
            gone_on &= np.array_equal(sample.mask, warped(mask, places, exact=True))
            assert carried or (kinds[-1] == "bent" and gone_on), index
            (far if kinds[-1] == "moved" else ways).append(made[0][1] if kinds[-1] == "moved" else carried)
    shares = {kind: kinds.count(kind) / 500 for kind in ("empty", "moved", "bent", "other")}
    assert shares == pytest.approx({"empty": 0.25, "moved": 0.45, "bent": 0.25, "other": 0.05}, abs=0.07)
    assert 0.02 < shares["other"] < 0.09 and np.mean(far) == pytest.approx(1 / 3, abs=0.1)
    assert np.mean(ways) == pytest.approx(0.5, abs=0.15) and nobody / 500 == pytest.approx(0.08, abs=0.04)
    assert before_others / whole == pytest.approx(0.2, abs=0.07)


def test_people_stand_in_the_other_photo_and_their_edges_are_blended() -> None:
    """Two of three photos show people; the third is grey all over, and fills all but corners beyond its border."""
    grey = Photo(np.full((80, 100, 3), 40, np.uint8), known({2: "dog"}).labels, {2: "dog"}, True)
    somebody = photo({1: "person"})
    samples = Portraits(PhotoPool([(Photos([somebody, somebody, grey]), 1.0)]), size=SIZE)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[20:50, 15:45] = 1
    image = np.full((SIZE, SIZE, 3), 200, np.uint8)
    near = np.abs(np.stack(np.mgrid[:SIZE, :SIZE]) - np.array([34.5, 29.5])[:, None, None]).max(0)
    for seed in range(40):
        found = samples._elsewhere(image, mask, np.random.default_rng(seed))
        assert (found[near < 11] == 200).all() and (found[near > 19] == 40).mean() > 0.7, seed
        assert found[34, 14, 0] == pytest.approx(40 + 160 * 0.309, abs=4), "half a pixel beside them"
        assert found[34, 15, 0] == pytest.approx(40 + 160 * 0.691, abs=4)


def test_crops_are_of_half_to_one_and_a_half_times_the_size() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[42:58, 42:58] = 1
    samples = Portraits(PhotoPool([(Photos([Photo(np.zeros((100, 100, 3), np.uint8), labels)]), 1.0)]), size=50)
    areas = [(samples._crop(np.random.default_rng(seed), False)[1] == 1).sum() for seed in range(200)]
    scales = np.sqrt(np.array(areas) / 64)  # 16 pixels of 100 are 8 of 50
    assert 0.42 < scales.min() < 0.56 and 1.4 < scales.max() < 1.58
    assert np.median(scales) == pytest.approx(np.sqrt(0.5 * 1.5), abs=0.1), "even in the logarithm"


def test_how_masks_are_worn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a ramp; where pieces are changed it becomes a step first. Nothing is changed here, but counted."""
    changed: list[int] = []
    monkeypatch.setattr(portrait_images, "disturb_box", lambda pieces, rng: changed.append(1))
    ramp = np.tile(np.arange(SIZE, dtype=np.float32) / (SIZE - 1), (SIZE, 1))
    pieces, depths, widths = [], [], []
    for seed in range(600):
        changed.clear()
        row = worn(ramp, np.random.default_rng(seed))[SIZE // 2].astype(int)
        pieces.append(len(changed))
        if changed:
            widths.append(((row > 2) & (row < 253)).sum())
        else:
            depths.append(len(np.unique(row)))
    assert set(pieces) == set(range(9)) and np.mean(np.array(pieces) > 0) == pytest.approx(0.5, abs=0.06)
    rounded = [depth for depth in depths if depth <= 32]
    assert len(rounded) / len(depths) == pytest.approx(0.3, abs=0.07) and min(rounded) < 5 and max(rounded) > 25
    soft = [width for width in widths if width]
    assert len(soft) / len(widths) == pytest.approx(0.7, abs=0.07)
    assert min(soft) <= 3 and 7 < np.median(soft) < 13 and max(soft) < 22


@pytest.mark.parametrize(
    ("far", "turn", "scales", "shift"), [(False, 10, (0.95, 1.05), 0.05), (True, 30, (0.7, 1.4), 0.25)]
)
def test_bounds_of_movements(far: bool, turn: float, scales: tuple[float, float], shift: float) -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        places = moved(rng, 32, far)
        right, below = places[16, 20] / 4 - places[16, 16] / 4, places[20, 16] / 4 - places[16, 16] / 4
        scale = float(np.hypot(*right))
        slant = float(right @ below) / scale**2
        assert right[0] * below[1] - right[1] * below[0] == pytest.approx(scale**2, rel=1e-3)
        angles = np.rad2deg((np.arctan2(right[1], right[0]), np.arctan(slant)))
        found.append((*angles, np.log(scale), *(places[16, 16] / 32 - 0.5)))
    lows, highs = np.min(found, 0), np.max(found, 0)
    want_low = np.array([-turn, -5, np.log(scales[0]), -shift, -shift])
    want_high = np.array([turn, 5, np.log(scales[1]), shift, shift])
    assert (lows >= want_low - 1e-3).all() and (highs <= want_high + 1e-3).all()
    assert ((highs - lows) > 0.93 * (want_high - want_low)).all(), "all of the range is drawn from"
    assert abs(np.corrcoef(np.array(found)[:, 3:].T)[0, 1]) < 0.3, "both directions by themselves"


def test_small_movements_are_small() -> None:
    rng = np.random.default_rng(0)
    own = pixels(SIZE)
    near = [np.abs(moved(rng, SIZE, far=False) - own)[16:48, 16:48].max() for _ in range(50)]
    far = [np.abs(moved(rng, SIZE, far=True) - own)[16:48, 16:48].max() for _ in range(50)]
    assert max(near) < 0.25 * SIZE and np.median(far) > 2 * np.median(near)
    curved = [bent(rng, SIZE) - own for _ in range(20)]
    strength = [float(np.sqrt((field**2).mean())) / SIZE for field in curved]
    assert 0.012 < min(strength) and max(strength) < 0.075, strength
    # a plate bends: the field is no affine map
    design = np.concatenate([own, np.ones((SIZE, SIZE, 1))], -1).reshape(-1, 3)
    rests = [np.linalg.lstsq(design, field.reshape(-1, 2), rcond=None)[1].sum() / SIZE**2 for field in curved]
    assert min(rests) > 0.05


def test_what_comes_from_beyond_the_border() -> None:
    there = pixels(8) + np.float32([4, 0])
    mask = np.ones((8, 8), np.float32)
    assert warped(mask, there)[:, 4:].max() == 0 and warped(mask, there)[:, :4].min() == 1
    labels = warped(np.ones((8, 8), np.uint8), there, exact=True)
    assert (labels[:, 4:] == 255).all() and (labels[:, :4] == 1).all()
    picture = np.repeat(np.arange(8, dtype=np.uint8)[None, :, None], 8, 0).repeat(3, 2)
    assert warped(picture, there)[0, :, 0].tolist() == [4, 5, 6, 7, 6, 5, 4, 3]


def test_worn_masks_stay_masks() -> None:
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[16:48, 16:48] = 1
    found = [worn(mask, np.random.default_rng(seed)) for seed in range(60)]
    assert mask.max() == 1 and mask.sum() == 1024, "the true one is left alone"
    assert all(one.dtype == np.uint8 for one in found)
    overlap = [((one > 127) & (mask > 0)).sum() / ((one > 127) | (mask > 0)).sum() for one in found]
    assert np.mean(overlap) > 0.8 and min(overlap) < 0.97
    assert any(len(np.unique(one)) > 40 for one in found) and any(len(np.unique(one)) == 2 for one in found)


def test_sources_of_people(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "us" / folder).mkdir(parents=True)
    shown = photo({})
    Image.fromarray(shown.image).save(tmp_path / "us" / "images" / "a.jpg")
    Image.fromarray(((shown.labels == 1) * 255).astype(np.uint8)).save(tmp_path / "us" / "masks" / "a.png")
    samples = build_portraits([{"kind": "photos", "root": str(tmp_path / "us"), "weight": 1}], size=SIZE)
    batch = collate_portraits([samples[0], samples[1], samples[2]])
    assert batch["frames"].shape == (3, 3, SIZE, SIZE) and batch["before"].shape == (3, 1, SIZE, SIZE)
    assert batch["masks"].shape == (3, SIZE, SIZE) and samples.counts[0].count == 1
    for number, sample in enumerate(samples[index] for index in range(3)):
        frame = np.stack([sample.image[..., channel] for channel in range(3)])
        assert np.array_equal(batch["frames"][number], frame) and batch["frames"].is_contiguous()
        assert np.array_equal(batch["masks"][number], sample.mask)
        assert np.array_equal(batch["before"][number, 0], sample.before)
    (tmp_path / "us").rename(tmp_path / "them")
    weighed = [{"kind": "photos", "root": str(tmp_path / "them"), "weight": weight} for weight in (3, 1)]
    pool = build_portraits(weighed, size=SIZE)
    assert build_portraits(weighed, size=SIZE, seed=4).seed == 4 and pool.seed == 0
    assert pool.photos.weights.tolist() == [0.75, 0.25] and [one.weight for one in pool.counts] == [3, 1]
    (tmp_path / "videos" / "JPEGImages" / "v").mkdir(parents=True)
    (tmp_path / "videos" / "Annotations" / "v").mkdir(parents=True)
    Image.fromarray(shown.image).save(tmp_path / "videos" / "JPEGImages" / "v" / "00000.jpg")
    Image.fromarray((shown.labels == 1).astype(np.uint8)).save(tmp_path / "videos" / "Annotations" / "v" / "00000.png")
    with pytest.raises(UserError, match="holds videos; stage portrait learns from photos alone"):
        build_portraits([{"kind": "videos", "root": str(tmp_path / "videos"), "weight": 1, "gaps": [1, 1]}], size=SIZE)


def test_without_people() -> None:
    with pytest.raises(UserError, match="none with people"):
        Portraits(PhotoPool([(Photos([photo({1: "dog", 2: "cat"})]), 1.0)]), size=SIZE)[1]
