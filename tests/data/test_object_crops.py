"""Pairs of crops: what is cut lies where boxes and masks say, and depends on index and seed alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")

from tests.training.moving_clips import make_clip, moving  # noqa: E402
from univs.data import object_crops  # noqa: E402
from univs.data.clips import TrainingClip  # noqa: E402
from univs.data.object_crops import ObjectCrops, PairDraws, box_of, collate_pairs, drawn_square, seen  # noqa: E402
from univs.losses.siammask_targets import anchor_deltas  # noqa: E402
from univs.models.siammask_anchors import Anchors  # noqa: E402
from univs.models.siammask_crops import (  # noqa: E402
    SEARCH,
    TEMPLATE,
    channel_mean,
    context_side,
    corner,
    resized,
    square,
)

STILL = PairDraws(shift=0, scale=0, template_shift=0, template_scale=0, negatives=0, surrounded=0)


class Clips:
    """As `TrainingClips`, of two rectangles that move; of the targets given."""

    def __init__(self, targets: tuple[int, ...] = (1,), *, hidden: bool = False) -> None:
        self.settings, self.targets, self.hidden = SimpleNamespace(seed=3), targets, hidden
        self.counts, self.shares = (), {"video": 1.0}

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: int) -> TrainingClip:
        labels = moving(2)
        labels[:, 50:, :6] = 255
        if self.hidden:
            labels[1][labels[1] == 1] = 0
        return make_clip(labels, self.targets, seed=index)


class Asked(Clips):
    """Keeps which clips were asked for."""

    def __init__(self, targets: tuple[int, ...] = (1,)) -> None:
        super().__init__(targets)
        self.asked: list[int] = []

    def __getitem__(self, index: int) -> TrainingClip:
        self.asked.append(index)
        return super().__getitem__(index)


def crops_of(clips: Any, draws: PairDraws = STILL) -> ObjectCrops:
    return ObjectCrops(clips, Anchors(), draws)


def still_crops(image: np.ndarray, labels: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Template and square around an object, neither moved nor scaled."""
    left, top, right, bottom = box_of(labels == number)
    place, side = ((left + right) / 2, (top + bottom) / 2), context_side(right - left, bottom - top)
    around = channel_mean(image)
    return (
        square(image, place, round(side), TEMPLATE, around),
        square(image, place, round(side * 255 / 127), SEARCH, around),
    )


def pixels_of(place: tuple[float, float], side: int) -> list[np.ndarray]:
    """Columns and rows of the frame that a square of 255 shows."""
    return [first + ((np.arange(255) + 0.5) * side / 255).astype(int) for first in corner(place, side)]


def test_the_object_is_in_the_middle_of_both_crops() -> None:
    data = crops_of(Clips())
    for index in range(4):
        pair = data[index]
        assert pair.template.shape == (127, 127, 3) and pair.search.shape == (255, 255, 3)
        left, top, right, bottom = box_of(pair.mask == 1)
        assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((127.5, 127.5), abs=5)
        assert (pair.targets.labels == 1).any(), "an object of 28 x 22 fits an anchor"
        colour = pair.template[60:66, 60:66].reshape(-1, 3).mean(0)
        assert np.abs(pair.search[pair.mask == 1].mean(0) - colour).max() < 10, "both show the same object"
        assert np.abs(pair.search[pair.mask == -1].mean(0) - colour).max() > 20


@pytest.mark.parametrize("index", range(6))
def test_boxes_and_masks_move_with_the_square(index: int) -> None:
    """The box that the anchors are to give is the box of the mask, to within the pixels that rounding costs."""
    data = crops_of(Clips((1, 2)), PairDraws(negatives=0, surrounded=1))
    pair = data[index]
    grid, deltas = data.grid, pair.targets.deltas.astype(float)
    x, y = deltas[0] * grid[2] + grid[0], deltas[1] * grid[3] + grid[1]
    width, height = np.exp(deltas[2]) * grid[2], np.exp(deltas[3]) * grid[3]
    for values in (x, y, width, height):
        assert np.ptp(values) < 1e-2, "every anchor is to give the same box"
    box = [float(v.mean()) for v in (x - width / 2, y - height / 2, x + width / 2, y + height / 2)]
    assert box == pytest.approx(box_of(pair.mask == 1), abs=6)
    assert np.abs(np.array([x.mean(), y.mean()]) - 127).max() <= 64 / 0.82 + 5


def test_what_is_unknown_and_what_surrounds_frames() -> None:
    plain, filled = crops_of(Clips())[1], crops_of(Clips(), PairDraws(0, 0, 0, 0, 0, surrounded=1))[1]
    assert (plain.mask == 0).any(), "ignored pixels are not known"
    assert np.array_equal(plain.mask, filled.mask)
    corner = plain.search[:20, :20].reshape(-1, 3)
    assert (corner == corner[0]).all(), "one colour outside"
    assert filled.search[:20, :20].std() > 3
    assert np.array_equal(plain.search[plain.mask == 1], filled.search[plain.mask == 1])


def test_an_object_that_is_gone_is_looked_for_where_it_was() -> None:
    clips = Clips(hidden=True)
    assert not seen(clips[0], 1, 1) and seen(clips[0], 0, 1)
    pair = crops_of(clips)[0]
    assert (pair.mask == 1).sum() > 1000 and (pair.targets.labels == 1).any()


def test_negative_pairs_hold_nothing() -> None:
    data = crops_of(Clips((1, 2)), PairDraws(negatives=1))
    pair = data[5]
    assert not (pair.mask == 1).any() and not (pair.targets.labels == 1).any() and (pair.targets.labels == 0).any()
    shares = [(crops_of(Clips(), PairDraws(negatives=0.2))[i].targets.labels == 1).any() for i in range(50)]
    assert 0.6 < np.mean(shares) < 0.95


def test_a_pair_depends_on_its_index_alone() -> None:
    data, again = crops_of(Clips(), PairDraws()), crops_of(Clips(), PairDraws())
    first, second = data[7], data[8]
    assert np.array_equal(first.search, again[7].search) and np.array_equal(first.mask, again[7].mask)
    assert not np.array_equal(first.search, second.search)
    assert len(data) == 50 and data.shares == {"video": 1.0} and data.counts == ()


def test_squares_are_drawn_around_boxes() -> None:
    draws = np.random.default_rng(0)
    assert drawn_square((10, 20, 30, 60), 50, 2.0, 0, 0, draws) == ((20, 40), 50)
    places = [drawn_square((10, 20, 30, 60), 50, 2.0, 4, 0.1, draws) for _ in range(200)]
    assert max(abs(x - 20) for (x, _), _ in places) == pytest.approx(8, abs=0.5)
    assert {min(side for _, side in places), max(side for _, side in places)} == {45, 55}


def test_batches() -> None:
    data = crops_of(Clips(), PairDraws())
    batch = collate_pairs([data[0], data[1]])
    assert batch["templates"].shape == (2, 3, 127, 127) and batch["searches"].shape == (2, 3, 255, 255)
    assert batch["labels"].shape == batch["weights"].shape == (2, 5, 25, 25) and batch["deltas"].shape == (
        2,
        4,
        5,
        25,
        25,
    )
    assert np.array_equal(batch["searches"][1, 2].numpy(), data[1].search[..., 2])
    assert np.array_equal(batch["templates"][0, 0].numpy(), data[0].template[..., 0])
    assert np.array_equal(batch["masks"][1].numpy(), data[1].mask)
    for name in ("labels", "deltas", "weights"):
        assert np.array_equal(batch[name][1].numpy(), getattr(data[1].targets, name))


def test_crops_are_those_of_both_frames() -> None:
    """One shows the object, the other is searched, either way round; each around where the object is there."""
    data, shown = crops_of(Clips()), []
    for index in range(8):
        pair, clip = data[index], data.clips[index]
        cut = [still_crops(image, labels, 1) for image, labels in zip(clip.frames, clip.labels, strict=True)]
        shown.append(int(np.array_equal(pair.template, cut[1][0])))
        assert np.array_equal(pair.template, cut[shown[-1]][0])
        assert np.array_equal(pair.search, cut[1 - shown[-1]][1])
    assert set(shown) == {0, 1}


def test_how_crops_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shifts count in pixels of their crop; the grid is that of a crop of 255."""
    asked: list[tuple[float, ...]] = []

    def spied(box: Any, side: float, pixel: float, shift: float, scale: float, rng: Any) -> Any:
        asked.append((side / pixel, shift, scale))
        return drawn_square(box, side, pixel, shift, scale, rng)

    monkeypatch.setattr(object_crops, "drawn_square", spied)
    data = crops_of(Clips(), PairDraws(50, 0.1, 3, 0.04, negatives=0))
    assert data[0].search.shape == (255, 255, 3)
    assert asked == [pytest.approx((127, 3, 0.04)), pytest.approx((255, 50, 0.1))]
    assert data.grid.shape == (4, 5, 25, 25) and data.grid[:2, 0, 12, 12].tolist() == [127, 127]
    assert PairDraws() == PairDraws(64, 0.18, 4, 0.05, 0.2, 0.5)


def test_squares_move_either_way_and_along_both_sides() -> None:
    draws = np.random.default_rng(1)
    places = np.array([drawn_square((10, 20, 30, 60), 50, 1.0, 9, 0.1, draws)[0] for _ in range(300)]) - (20, 40)
    assert (places.min(0) < -8).all() and (places.max(0) > 8).all() and np.abs(places.mean(0)).max() < 1
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.3


def test_what_is_drawn_depends_on_the_seed() -> None:
    first, second = Clips(), Clips()
    second.settings.seed = 4
    pairs = [crops_of(clips, PairDraws(negatives=0))[2] for clips in (first, second)]
    assert not np.array_equal(pairs[0].search, pairs[1].search)


def test_every_target_is_shown_and_negatives_are_around_those_of_other_clips() -> None:
    clips, shown, around = Asked((1, 2)), [], []
    data = crops_of(clips, PairDraws(0, 0, 0, 0, negatives=1, surrounded=0))
    for index in range(8):
        pair, (own, other) = data[index], clips.asked[-2:]
        assert own == index
        of_own = {
            number: [still_crops(*frame, number)[0] for frame in zip(clips[own].frames, clips[own].labels, strict=True)]
            for number in (1, 2)
        }
        shown += [number for number, cuts in of_own.items() if any(np.array_equal(pair.template, cut) for cut in cuts)]
        first, labels = clips[other].frames[0], clips[other].labels[0]
        around += [n for n in (1, 2) if np.array_equal(pair.search, still_crops(first, labels, n)[1])]
        clips.asked.append(other)
    assert len(shown) == len(around) == 8 and set(shown) == set(around) == {1, 2}
    assert len({*clips.asked}) > 10, "other clips"


@pytest.mark.parametrize("negatives", [0, 1])
def test_masks_and_boxes_are_those_of_the_square(negatives: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was drawn; other objects are as the ground is."""
    drawn: list[tuple[tuple[float, float], int]] = []
    monkeypatch.setattr(object_crops, "drawn_square", lambda *of: drawn.append(drawn_square(*of)) or drawn[-1])
    data = crops_of(Clips(), PairDraws(40, 0.2, negatives=negatives))
    meaning = np.full(256, -1)
    meaning[255], meaning[1] = 0, -1 if negatives else 1
    kinds, times = set(), []
    for index in range(6):
        pair, (place, side) = data[index], drawn[-1]
        columns, rows = (300 + places for places in pixels_of(place, side))
        maps = data.clips[0].labels
        wanted = [meaning[np.pad(labels, 300)[np.ix_(rows, columns)]] for labels in maps]
        times.append([np.array_equal(pair.mask, want) for want in wanted].index(True))
        kinds |= set(np.unique(pair.mask))
        if not negatives:
            down, across = np.nonzero(maps[times[-1]] == 1)
            corners = across.min(), down.min(), across.max() + 1, down.max() + 1
            box = np.array([(at - place[axis % 2]) * 255 / side + 127 for axis, at in enumerate(corners)])
            assert np.allclose(pair.targets.deltas, anchor_deltas(data.grid, box), atol=1e-5)
    assert (kinds, set(times)) == (({-1, 0}, {0}) if negatives else ({-1, 0, 1}, {0, 1}))


def test_surroundings_are_of_a_clip_and_come_as_often_as_they_should(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[tuple[float, float], int]] = []
    monkeypatch.setattr(object_crops, "drawn_square", lambda *of: drawn.append(drawn_square(*of)) or drawn[-1])
    clips, others = Asked(), []
    data, plain = crops_of(clips, PairDraws(0, 0, 0, 0, negatives=0, surrounded=0.5)), crops_of(Clips())
    for index in range(24):
        without = plain[index].search
        clips.asked.clear()
        found = data[index].search
        if len(clips.asked) == 1:
            assert np.array_equal(found, without)
            continue
        others.append(clips.asked[1])
        columns, rows = ((places >= 0) & (places < 64) for places in pixels_of(*drawn[-1]))
        around = resized(Clips()[others[-1]].frames[0], SEARCH, SEARCH)
        assert np.array_equal(found, np.where((rows[:, None] & columns)[..., None], without, around))
    assert 6 <= len(others) <= 18 and len(set(others)) > 4


def test_an_object_is_seen_by_64_pixels() -> None:
    labels = np.zeros((2, 20, 20), np.uint8)
    labels[0, :8, :8] = labels[1, :9, :7] = 3
    clip = SimpleNamespace(labels=labels)
    assert seen(clip, 0, 3) and not seen(clip, 1, 3)  # type: ignore[arg-type]
    assert box_of(labels[1] == 3) == (0, 0, 7, 9)
    assert drawn_square((4, 4, 5, 5), 0.3, 1, 0, 0, np.random.default_rng(0)) == ((4.5, 4.5), 2), "never less"
