"""Views of photos, and the static and composite scenes that they become."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from univs.data.photo import Photo

pytest.importorskip("cv2")

from tests.data.disc_scenes import SIZE, actor, disc, disc_cut, empty, pool  # noqa: E402
from univs.data import composites  # noqa: E402
from univs.data.composites import (  # noqa: E402
    Actor,
    composite_scene,
    make_actor,
    make_motion,
    moving_view,
    static_scene,
)
from univs.data.cutouts import CutOut  # noqa: E402


def test_moving_view_moves_photo_and_labels_alike() -> None:
    mask = disc(120, 160, 80, 60, 25)
    photo = Photo(np.where(mask[..., None], 255, 0).astype(np.uint8).repeat(3, 2), mask.astype(np.uint8), complete=True)
    for seed in range(5):
        scene = moving_view(photo, np.random.default_rng(seed), 4, 96, (80.0, 60.0), 90.0, 0.03, 1.0)
        known = scene.labels != 255
        bright = scene.frames[..., 0] > 127
        assert (bright == (scene.labels == 1))[known].mean() > 0.985
        assert scene.complete and (scene.labels[0] == 1).any()


@pytest.mark.parametrize("extent", [40.0, 80.0, 1000.0])
def test_a_view_shows_as_much_of_the_photo_as_asked_for(extent: float) -> None:
    """Coordinates as colours: how far one sees on frame 0, and that the focus lies in the middle."""
    height, width = 100, 150
    xs, ys = np.meshgrid(np.arange(width), np.arange(height))
    photo = Photo(np.dstack([xs, ys, 0 * xs]).astype(np.uint8), np.ones((height, width), np.uint8), complete=False)
    seen, middles = [], []
    for seed in range(25):
        scene = moving_view(photo, np.random.default_rng(seed), 2, SIZE, (60.0, 45.0), extent, 0.0, 1.0)
        inside = scene.labels[0] == 1
        assert not scene.complete and scene.frames.shape == (2, SIZE, SIZE, 3)
        assert set(np.unique(scene.labels)) <= {1, 255}, "beyond the photo nothing is known"
        x, y = (scene.frames[0, ..., i].astype(float) for i in (0, 1))
        rows, columns = np.nonzero(inside)
        plane = np.stack([columns, rows, np.ones(len(rows))], 1)
        fit = np.linalg.lstsq(plane, np.stack([x[inside], y[inside]], 1), rcond=None)[0]
        seen.append(np.abs(np.linalg.det(fit[:2])) * SIZE**2)
        middles.append((x[46:50, 46:50].mean(), y[46:50, 46:50].mean()))
    across, down = min(max(extent, 35), width), min(max(extent, 35), height)
    across, down = min(across, 1.5 * down), min(down, 1.5 * across)
    assert np.median(seen) == pytest.approx(across * down, rel=0.12)
    want = np.clip(60, across / 2, width - across / 2), np.clip(45, down / 2, height - down / 2)
    assert np.allclose(np.median(middles, 0), want, atol=3)


def test_views_bend_as_much_as_asked_for() -> None:
    photo = Photo(np.dstack([np.tile(np.arange(200, dtype=np.uint8), (200, 1))] * 3), np.ones((200, 200), np.uint8))
    crooked = []
    for bending in (0.0, 0.05):
        left = []
        for seed in range(8):
            scene = moving_view(photo, np.random.default_rng(seed), 1, SIZE, (100.0, 100.0), 120.0, bending, 1.0)
            columns, rows = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
            plane = np.stack([columns.ravel(), rows.ravel(), np.ones(SIZE**2)], 1)
            x = scene.frames[0, ..., 0].ravel().astype(float)
            left.append((x - plane @ np.linalg.lstsq(plane, x, rcond=None)[0]).std())
        crooked.append(np.mean(left))
    assert crooked[0] < 0.5 and 1 < crooked[1] < 8


def test_static_scenes_look_at_an_object_and_favour_it() -> None:
    given, shares = pool(), []
    for seed in range(30):
        scene = static_scene(given, np.random.default_rng(seed), 3, SIZE)
        assert scene.favoured == [7] and set(np.unique(scene.labels)) <= {0, 7, 255}
        bright = scene.frames[..., 0] > 65
        known = scene.labels != 255
        assert (bright == (scene.labels == 7))[known].mean() > 0.97
        shares.append((scene.labels[0] == 7).mean())
        assert scene.complete == (int(scene.frames[scene.labels == 7].max()) % 2 == 0)
    assert min(shares) > 0.04 and 0.1 < np.mean(shares) < 0.6


def test_composite_scenes_hold_one_to_three_new_objects() -> None:
    given, counts, own = pool(), [], []
    for seed in range(120):
        scene = composite_scene(given, np.random.default_rng(seed), 1, 48)
        new = [i for i in scene.favoured if i > 7 or i < 7]
        counts.append(len(new))
        own.append(7 in scene.favoured)
        assert len(set(scene.favoured)) == len(scene.favoured) and max(scene.favoured) <= 254
        assert scene.frames.shape == (1, 48, 48, 3)
    assert set(counts) == {1, 2, 3, 4} and 0.2 < np.mean(own) < 0.4
    assert 0.2 < np.mean(np.array(counts) == 3) < 0.4, "a quarter, and twins of single ones"
    assert np.mean(np.array(counts) == 4) < 0.05, "a copy, its twin, and a single one with a twin"


def test_a_copy_of_what_stands_in_the_photo_is_that_object(
    scripted: Callable[..., np.random.Generator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the dice say so, what is cast is cut out of the photo itself, and both are favoured."""
    cast: list[tuple[list[CutOut], bool]] = []

    def cast_some(rng: object, frames: int, size: int, cuts: list[CutOut], twins: bool) -> list[Actor]:
        cast.append((cuts, twins))
        return [actor([(20.0, 20.0)])] * (1 + twins)

    monkeypatch.setattr(composites, "cast_actors", cast_some)
    monkeypatch.setattr(composites, "moving_view", lambda *given, **named: empty(1, used=7))
    wanted = []
    monkeypatch.setattr(composites, "cast_from_pool", lambda *given: wanted.append(given[-1]) or [])
    for twins in (0.1, 0.9):
        scene = composite_scene(pool(), scripted([0.1, twins]), 1, SIZE)
        assert scene.favoured[:2] == [7, 8] and len(scene.favoured) == (3 if twins < 0.3 else 2)
    assert [given for _, given in cast] == [True, False]
    assert cast[0][0][0].area == disc(100, 140, 70, 50, 25).sum()
    composite_scene(pool(), scripted([0.9]), 1, SIZE)
    assert len(cast) == 2 and wanted[-1] in (1, 2, 3)


class Asked(Exception):
    """Ends a function where it has said what is asked here."""


def asked_of(monkeypatch: pytest.MonkeyPatch, name: str, call: Callable[[np.random.Generator], object]) -> list[tuple]:
    """What a function hands to another one of this module, over many seeds."""
    found: list[tuple] = []

    def caught(*given: object, **named: object) -> None:
        found.append((*given, named))
        raise Asked

    monkeypatch.setattr(composites, name, caught)
    for seed in range(500):
        with pytest.raises(Asked):
            call(np.random.default_rng(seed))
    monkeypatch.undo()
    return found


def test_static_scenes_look_near_the_middle_of_their_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once to three times as wide as it, a tenth of that beside it."""
    given = pool()
    calls = asked_of(monkeypatch, "moving_view", lambda rng: static_scene(given, rng, 3, SIZE))
    _, _, frames, size, focus, extent, bending, named = zip(*calls, strict=True)
    assert set(frames) == {3} and set(size) == {SIZE} and all(n == {"liveliness": 1.3} for n in named)
    wide = np.array(extent) / 50
    assert 1 <= wide.min() < 1.05 and 2.85 < wide.max() <= 3 and np.median(wide) == pytest.approx(3**0.5, rel=0.08)
    beside = (np.array(focus) - (70, 50)) / np.array(extent)[:, None]
    assert np.abs(beside.mean(0)).max() < 0.02 and beside.std(0) == pytest.approx([0.1, 0.1], rel=0.15)
    assert 0.005 <= min(bending) < 0.007 and 0.048 < max(bending) <= 0.05


def test_static_scenes_can_show_all_of_the_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    given = pool()
    calls = asked_of(monkeypatch, "moving_view", lambda rng: static_scene(given, rng, 3, SIZE, 0.3))
    whole = np.array([call[5] == 140 for call in calls])
    assert 0.25 < whole.mean() < 0.35 and len({call[5] for call in calls}) > 300
    monkeypatch.undo()
    bright = [(static_scene(given, np.random.default_rng(seed), 1, SIZE, 1.0).labels == 7).mean() for seed in range(40)]
    assert np.median(bright) == pytest.approx(50 * 50 / (140 * 100), rel=0.3)


def test_composite_scenes_look_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    given = pool()
    calls = asked_of(monkeypatch, "moving_view", lambda rng: composite_scene(given, rng, 3, SIZE))
    focus, extent, bending, named = zip(*(call[4:] for call in calls), strict=True)
    low, high = np.min(focus, 0) / (140, 100), np.max(focus, 0) / (140, 100)
    assert low == pytest.approx([0.2, 0.2], abs=0.02) and high == pytest.approx([0.8, 0.8], abs=0.02)
    assert min(extent) == pytest.approx(45, abs=2) and max(extent) == pytest.approx(110, abs=2)
    assert 0 <= min(bending) < 0.001 and 0.019 < max(bending) <= 0.02 and named[0] == {"liveliness": 1.0}


@pytest.mark.parametrize("liveliness", [0.5, 1.3])
def test_views_move_as_lively_as_asked_for(monkeypatch: pytest.MonkeyPatch, liveliness: float) -> None:
    photo = pool().sources[0][0]
    calls = asked_of(
        monkeypatch, "make_motion", lambda rng: moving_view(photo, rng, 7, SIZE, (70.0, 50.0), 60.0, 0.0, liveliness)
    )
    _, frames, start, scale, speed, growth, named = zip(*calls, strict=True)
    assert set(frames) == {7} and all((s == 47.5).all() for s in start) and set(scale) == {SIZE / 60}
    assert named[0] == {"mirrored": 0.5, "aspect": 1.0}
    assert max(speed) <= 0.4 * SIZE and np.median(speed) == pytest.approx(np.log(2) * 0.08 * liveliness * SIZE, rel=0.2)
    grown = np.array(growth) / 2  # a clip of seven frames goes twice as far
    zooms = (grown > max(np.log(1.3), 0.05 + 0.3 * liveliness)).mean()
    assert zooms < 0.12 * liveliness * 1.6 and zooms > 0.12 * liveliness * 0.5 and grown.max() < np.log(2.5) + 0.03
    calm = grown[grown < np.log(1.3)]
    assert np.median(calm) == pytest.approx(0.05, abs=0.025)
    assert (calm - 0.05)[calm < 0.05].std() < 0.1 * liveliness and calm.min() < 0.05 - 0.15 * liveliness


@pytest.mark.parametrize(("height", "width"), [(60, 200), (200, 60)])
def test_long_photos_are_seen_in_a_window_of_three_to_two(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int
) -> None:
    photo = Photo(np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8))
    for extent, want in ((150.0, np.sqrt(90 * 60)), (1.0, 21.0)):  # at least 0.35 of the shorter side

        def look(rng: np.random.Generator, extent: float = extent) -> object:
            return moving_view(photo, rng, 4, SIZE, (50.0, 50.0), extent, 0.0, 1.0)

        call = asked_of(monkeypatch, "make_motion", look)[0]
        assert call[3] == pytest.approx(SIZE / want)
        wide = 60 / 90 if width > height else 90 / 60
        assert call[-1]["aspect"] == pytest.approx(wide if extent > 1 else 1)


def test_actors_move_and_grow_as_often_as_they_should(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = disc_cut(radius=20)
    calls = asked_of(monkeypatch, "make_motion", lambda rng: make_actor(rng, 7, SIZE, cut, np.array([3.0, 4.0]), 12.0))
    _, frames, start, scale, speed, growth, named = zip(*calls, strict=True)
    assert set(frames) == {7} and start[0].tolist() == [3, 4] and named[0] == {"mirrored": 0.5}
    assert set(scale) == {12 / np.sqrt(cut.area)}
    assert max(speed) == 0.6 * SIZE and np.median(speed) == pytest.approx(np.log(2) * 0.13 * SIZE, rel=0.2)
    grown = np.array(growth) / 2
    fast = grown > np.log(1.5)
    assert 0.15 < fast.mean() < 0.25 and grown.max() <= np.log(3.5)
    assert np.median(grown[~fast]) == pytest.approx(0, abs=0.02)
    assert grown[~fast].std() == pytest.approx(0.12, rel=0.15)
    near = asked_of(monkeypatch, "make_motion", lambda rng: make_actor(rng, 7, SIZE, cut, np.array([3.0, 4.0]), 70.0))
    limit = np.log(1.5 * SIZE / (near[0][3] * np.sqrt(cut.area)))
    assert max(call[5] for call in near) == pytest.approx(limit)


def test_turns_and_widenings_are_small_but_for_some() -> None:
    made = [make_motion(np.random.default_rng(s), 4, np.zeros(2), 1.0, 0.0, 0.0) for s in range(600)]
    first = np.array([m.rotation[0] for m in made])
    assert first.mean() == pytest.approx(0, abs=0.012) and first.std() == pytest.approx(0.08, rel=0.1)
    turns = np.array([m.rotation[-1] - m.rotation[0] for m in made])
    strong = (np.abs(turns) > 0.25).mean()
    assert 0.09 < strong < 0.2 and np.abs(turns).max() < 0.85, "a fifth turns by up to 0.8"
    assert abs(turns.mean()) < 0.04 and np.abs(turns[np.abs(turns) < 0.2]).mean() == pytest.approx(0.065, abs=0.02)
    wide = np.log([m.aspect for m in made])
    assert wide[:, 0].mean() == pytest.approx(0, abs=0.015) and wide[:, 0].std() == pytest.approx(0.1, rel=0.1)
    drift = wide[:, -1] - wide[:, 0]
    assert drift.mean() == pytest.approx(0, abs=0.01) and drift.std() == pytest.approx(0.06, rel=0.12)
    longer = [make_motion(np.random.default_rng(s), 7, np.zeros(2), 1.0, 0.0, 0.0) for s in range(300)]
    drifts = [np.log(m.aspect[-1] / m.aspect[0]) for m in longer]
    assert np.std(drifts) == pytest.approx(0.12, rel=0.15)
    assert np.std([m.rotation[-1] - m.rotation[0] for m in longer]) > 1.5 * turns.std()
    assert all((m.centre == 0).all() and not m.mirror for m in made), "without speed there is no wobble"
    shaken = [make_motion(np.random.default_rng(s), 4, np.zeros(2), 1.0, 10.0, 0.0).centre[0] for s in range(300)]
    assert np.std(shaken) == pytest.approx(10 * 0.05 / 3**0.5, rel=0.2), "up to a twentieth of the speed"
    sizes = np.log([m.scale[0] for m in made])
    assert sizes.std() == pytest.approx(0.01 / 3**0.5, rel=0.2)


@pytest.mark.parametrize(
    ("focus", "want"), [((60.0, 45.0), (60, 45)), ((0.0, 0.0), (30, 30)), ((149.0, 99.0), (120, 70))]
)
def test_a_view_begins_inside_the_photo(
    monkeypatch: pytest.MonkeyPatch, focus: tuple[float, float], want: tuple[float, float]
) -> None:
    seen: list[tuple[float, float]] = []

    class Path:
        def matrices(self, origin: tuple[float, float]) -> np.ndarray:
            seen.append(origin)
            raise Asked

    bends: list[float] = []
    plain = composites.smooth_field
    monkeypatch.setattr(
        composites, "smooth_field", lambda rng, frames, size: bends.append(size) or plain(rng, frames, size)
    )
    monkeypatch.setattr(composites, "make_motion", lambda *given, **named: Path())
    photo = Photo(np.zeros((100, 150, 3), np.uint8), np.zeros((100, 150), np.uint8))
    with pytest.raises(Asked):
        moving_view(photo, np.random.default_rng(0), 4, SIZE, focus, 60.0, 0.03, 1.0)
    assert seen == [want] and bends == [pytest.approx(0.03 * 60)]
