"""Clips made of photos: what moves where, what hides what, and what is labelled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from univs.data.photo import Photo
from univs.data.warps import Motion

pytest.importorskip("cv2")

from univs.data import composites  # noqa: E402
from univs.data.composites import (  # noqa: E402
    Actor,
    Scene,
    add_actors,
    cast_actors,
    cast_from_pool,
    composite_scene,
    make_actor,
    make_motion,
    moving_view,
    static_scene,
)
from univs.data.cutouts import CutOut, cut_out  # noqa: E402
from univs.data.photo_pool import PhotoPool  # noqa: E402

SIZE = 96


def disc(height: int, width: int, x: float, y: float, radius: float) -> np.ndarray:
    ys, xs = np.mgrid[:height, :width]
    return np.hypot(xs - x, ys - y) <= radius


def disc_cut(value: int = 200, radius: int = 10) -> CutOut:
    mask = disc(4 * radius, 4 * radius, 2 * radius, 2 * radius, radius)
    return cut_out(np.full((*mask.shape, 3), value, np.uint8), mask, 0.5)


def actor(path: list[tuple[float, float]], value: int = 200, shutter: float = 0.0, opacity: float = 1.0) -> Actor:
    """A disc whose centre goes along a path."""
    one = np.ones(len(path))
    return Actor([disc_cut(value)] * len(path), Motion(np.array(path), one, 0 * one, one), None, opacity * one, shutter)


def empty(frames: int, used: int = 0) -> Scene:
    labels = np.zeros((frames, SIZE, SIZE), np.uint8)
    labels[:, 0, :5] = used
    labels[:, -1, :5] = 255
    return Scene(np.zeros((frames, SIZE, SIZE, 3), np.uint8), labels, True)


def centre_of(mask: np.ndarray) -> np.ndarray:
    ys, xs = np.nonzero(mask)
    return np.array([xs.mean(), ys.mean()])


class Pool:
    """Photos of the names of categories, one disc each, of the brightness 100 + the photo's number."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    @property
    def name(self) -> str:
        return "pool"

    def nouns(self, index: int) -> frozenset[str]:
        return frozenset({self.names[index]})

    def __getitem__(self, index: int) -> Photo:
        mask = disc(100, 140, 70, 50, 25)
        image = np.where(mask[..., None], 100 + index, 30).astype(np.uint8).repeat(3, 2)
        return Photo(image, np.where(mask, 7, 0).astype(np.uint8), {7: self.names[index]}, index % 2 == 0)


def pool(names: list[str] | None = None) -> PhotoPool:
    return PhotoPool([(Pool(names or ["cat", "cat", "dog", "owl"]), 1.0)])


def test_labels_lie_on_the_pasted_object_along_its_path() -> None:
    path = [(30.0, 30.0), (45.0, 40.0), (60.0, 60.0)]
    scene = empty(3, used=9)
    add_actors(scene, np.random.default_rng(0), [actor(path)])
    assert scene.favoured == [10], "one above the ids in use; 255 is no id"
    for t, place in enumerate(path):
        assert np.array_equal(scene.labels[t] == 10, scene.frames[t, ..., 0] > 100)
        assert np.allclose(centre_of(scene.labels[t] == 10), place, atol=0.3)
        assert (scene.labels[t] == 10).sum() == pytest.approx(np.pi * 100, rel=0.05)
    assert (scene.labels[:, 0, :5] == 9).all() and (scene.labels[:, -1, :5] == 255).all()


def test_actors_hide_each_other_in_a_random_order_that_stays() -> None:
    orders = set()
    for seed in range(12):
        scene = empty(2)
        actors = [actor([(40.0, 40.0)] * 2, 100), actor([(48.0, 40.0)] * 2, 200)]
        add_actors(scene, np.random.default_rng(seed), actors)
        assert scene.favoured == [1, 2]
        order = np.random.default_rng(seed).permutation(2)  # the later one lies on top
        top = int(order[-1]) + 1
        for t in range(2):
            both = (np.abs(scene.frames[t, ..., 0].astype(int) - 100 * top) < 8) & (scene.labels[t] > 0)
            assert (scene.labels[t] == top).sum() == pytest.approx(np.pi * 100, rel=0.05), "whole"
            assert (scene.labels[t] == 3 - top).sum() < 250 and both.sum() > 200
            assert scene.labels[t, 40, 44] == top and abs(int(scene.frames[t, 40, 44, 0]) - 100 * top) < 8
        orders.add(top)
    assert orders == {1, 2}


def test_frames_without_a_view_of_the_actor_show_nothing_of_it() -> None:
    scene = empty(3)
    given = actor([(40.0, 40.0)] * 3)
    cuts = [given.cuts[0], None, given.cuts[2]]
    add_actors(scene, np.random.default_rng(0), [Actor(cuts, given.motion, None, given.opacity, 0.0)])
    assert [(scene.labels[t] == 1).any() for t in range(3)] == [True, False, True]


def test_no_more_actors_than_there_are_ids() -> None:
    scene = empty(1, used=252)
    add_actors(scene, np.random.default_rng(0), [actor([(20.0 + 25 * i, 40.0)]) for i in range(3)])
    assert scene.favoured == [253, 254] and set(np.unique(scene.labels)) == {0, 252, 253, 254, 255}


def test_bending_fading_and_motion_blur_go_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed to `paste`: the frame's own field and opacity, and the way to the next frame while it is open."""
    seen = []
    monkeypatch.setattr(composites, "paste", lambda *given, **named: seen.append((given, named)))
    given = actor([(30.0, 30.0), (40.0, 30.0), (60.0, 50.0)], shutter=0.5)
    bend = np.arange(3.0).reshape(3, 1, 1, 1) * np.ones((3, 33, 33, 2))
    scene = empty(3)
    add_actors(scene, np.random.default_rng(0), [Actor(given.cuts, given.motion, bend, np.array([1, 0.5, 0.25]), 0.5)])
    assert [named["opacity"] for _, named in seen] == [1, 0.5, 0.25]
    assert [named["smear"] for _, named in seen] == [(5, 0), (7.5, 5), (10, 10)]
    for t, (arguments, named) in enumerate(seen):
        assert (named["field"] == t).all() and arguments[4] == 1
        assert np.shares_memory(arguments[0], scene.frames[t]) and np.shares_memory(arguments[1], scene.labels[t])
        assert np.allclose(arguments[3], given.motion.matrices(disc_cut().origin)[t])
    seen.clear()
    add_actors(empty(1), np.random.default_rng(0), [actor([(30.0, 30.0)], shutter=0.5)])
    assert seen[0][1]["smear"] == (0, 0) and seen[0][1]["field"] is None


def test_paths_start_where_they_should_and_go_as_far_as_they_should() -> None:
    ways, turns, growths, mirrors, headings = [], [], [], [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        motion = make_motion(rng, 4, np.array([10.0, 20.0]), 2.0, 30.0, np.log(1.5), mirrored=0.25)
        assert np.linalg.norm(motion.centre[0] - (10, 20)) < 8, "but for the wobble"
        way = motion.centre[-1] - motion.centre[0]
        ways.append(np.linalg.norm(way))
        headings.append(np.arctan2(way[1], way[0]))
        growths.append(motion.scale[-1] / motion.scale[0])
        assert motion.scale[0] == pytest.approx(2, rel=0.06)
        turns.append(np.abs(np.diff(motion.rotation)).sum())
        mirrors.append(motion.mirror)
        assert motion.rotation[0] == pytest.approx(0, abs=0.4) and 0.6 < motion.aspect[0] < 1.6
    assert np.mean(ways) == pytest.approx(30, rel=0.05) and np.median(growths) == pytest.approx(1.5, rel=0.03)
    assert 0.15 < np.mean(mirrors) < 0.35 and 0.05 < np.mean(turns) < 0.4
    assert np.abs(np.mean(np.cos(headings))) < 0.2 and np.abs(np.mean(np.sin(headings))) < 0.2, "all directions"


def test_a_path_may_be_given_its_aspect_and_longer_clips_go_further() -> None:
    wide = make_motion(np.random.default_rng(0), 1, np.zeros(2), 1.0, 9.0, 0.0, aspect=0.5)
    assert wide.aspect[0] == pytest.approx(0.5) and not wide.mirror and wide.scale.shape == (1,)
    lengths = []
    for frames in (4, 7):
        path = make_motion(np.random.default_rng(5), frames, np.zeros(2), 1.0, 100.0, 0.0).centre
        lengths.append(np.linalg.norm(path[-1] - path[0]))
    assert lengths[1] == pytest.approx(2 * lengths[0], rel=0.2)


NEVER, ALWAYS = 0.999, 0.0


def plain_actor(
    scripted: Callable[..., np.random.Generator],
    *,
    extent: float = 20.0,
    seed: int = 0,
    frames: int = 4,
    cut: CutOut | None = None,
    recoloured: float = NEVER,
    grows: float = NEVER,
    leaves: float = NEVER,
    bends: float = ALWAYS,
    fades: float = NEVER,
    blurs: float = NEVER,
) -> Actor:
    """`make_actor` with dice that fall as said; `make_motion` throws five of its own."""
    motion = [0.5, 0.0, 0.5, 0.5, 0.9]
    script = [recoloured, grows, *motion, leaves, bends, fades, blurs]
    rng = scripted(script, seed)
    made = make_actor(rng, frames, SIZE, cut or disc_cut(radius=20), np.array([30.0, 40.0]), extent)
    assert not rng.script  # type: ignore[attr-defined]
    return made


def test_an_actor_is_as_large_as_asked_for(scripted: Callable[..., np.random.Generator]) -> None:
    for seed in range(20):
        for extent in (8.0, 30.0, 60.0):
            made = plain_actor(scripted, extent=extent, seed=seed)
            cut = made.cuts[0]
            assert cut is not None and len(made.cuts) == 4 and all(other is cut for other in made.cuts)
            assert made.motion.scale[0] * np.sqrt(cut.area) == pytest.approx(extent, rel=0.1)
            assert np.linalg.norm(made.motion.centre[0] - (30, 40)) < 10
            assert made.motion.scale.max() >= 0.6 or cut.area < disc_cut(radius=20).area
            assert made.shutter == 0 and (made.opacity == 1).all() and made.bend is not None
            assert made.bend.shape == (4, 33, 33, 2) and np.abs(made.bend).std() < 0.12 * np.sqrt(cut.area)
            assert np.linalg.norm(np.ptp(made.motion.centre, axis=0)) < 0.6 * SIZE * 1.2
    tiny = plain_actor(scripted, extent=60.0, cut=disc_cut(radius=3))
    assert tiny.motion.scale[0] == pytest.approx(2.5, rel=0.05), "not enlarged beyond"


def test_small_actors_are_shrunk_beforehand(scripted: Callable[..., np.random.Generator]) -> None:
    """Their resolution is a little above what is seen, so that nothing flickers."""
    made = plain_actor(scripted, extent=8.0)
    cut = made.cuts[0]
    assert cut is not None and 0.6 < made.motion.scale.max() < 1 and cut.area < 200


def test_some_actors_come_fast_towards_the_camera_but_not_beyond_filling_it(
    scripted: Callable[..., np.random.Generator],
) -> None:
    growths = []
    for seed in range(40):
        made = plain_actor(scripted, extent=15.0, seed=seed, grows=ALWAYS)
        growths.append(made.motion.scale[-1] / made.motion.scale[0])
        large = plain_actor(scripted, extent=70.0, seed=seed, grows=ALWAYS)
        cut = large.cuts[0]
        assert cut is not None and large.motion.scale[-1] * np.sqrt(cut.area) < 1.5 * SIZE * 1.06
    assert min(growths) > 1.4 and max(growths) < 3.7 and np.ptp(growths) > 1
    still = [plain_actor(scripted, extent=15.0, seed=seed).motion.scale for seed in range(40)]
    assert 0.95 < np.mean([s[-1] / s[0] for s in still]) < 1.15


def test_some_actors_leave_and_come_back(scripted: Callable[..., np.random.Generator]) -> None:
    far = []
    for seed in range(30):
        stay, leave = (plain_actor(scripted, seed=seed, frames=5, leaves=d).motion.centre for d in (NEVER, ALWAYS))
        away = np.linalg.norm(np.diff(leave, axis=0), axis=1)
        assert np.linalg.norm(leave[0] - (30, 40)) < 10
        far.append(np.linalg.norm(leave - leave[0], axis=1).max())
        assert away.sum() > np.linalg.norm(np.diff(stay, axis=0), axis=1).sum()
    assert 0.45 * SIZE < np.mean(far) < 1.3 * SIZE


def test_actors_may_be_recoloured_bent_faded_and_blurred(scripted: Callable[..., np.random.Generator]) -> None:
    same, other = (plain_actor(scripted, extent=60.0, recoloured=d).cuts[0] for d in (NEVER, ALWAYS))
    assert same is not None and other is not None
    assert np.array_equal(same.rgba, disc_cut(radius=20).rgba)
    assert not np.array_equal(other.rgba[..., :3], same.rgba[..., :3]) and other.area == same.area
    assert np.array_equal(other.rgba[..., 3], same.rgba[..., 3])
    assert plain_actor(scripted, bends=NEVER).bend is None
    for seed in range(20):
        opacity = plain_actor(scripted, fades=ALWAYS, seed=seed).opacity
        assert opacity[0] == 1 and 0.4 <= opacity[-1] <= 0.8 and (np.diff(opacity) <= 0).all()
        assert 0.2 <= plain_actor(scripted, blurs=ALWAYS, seed=seed).shutter <= 0.8


def test_how_often_actors_are_special() -> None:
    made = [make_actor(np.random.default_rng(s), 3, SIZE, disc_cut(), np.array([30.0, 40.0]), 20.0) for s in range(300)]
    share = {
        "recoloured": np.mean([not np.array_equal(m.cuts[0].rgba[20, 16], disc_cut().rgba[20, 16]) for m in made]),  # type: ignore[union-attr]
        "blurred": np.mean([m.shutter > 0 for m in made]),
        "faded": np.mean([(m.opacity < 1).any() for m in made]),
        "bent": np.mean([m.bend is not None for m in made]),
        "mirrored": np.mean([m.motion.mirror for m in made]),
    }
    want = {"recoloured": 0.3, "blurred": 0.2, "faded": 0.07, "bent": 0.85, "mirrored": 0.5}
    for name, value in want.items():
        assert share[name] == pytest.approx(value, abs=0.08), name


def test_casts_have_a_size_and_a_place() -> None:
    sizes, places = [], []
    for seed in range(150):
        (made,) = cast_actors(np.random.default_rng(seed), 1, SIZE, [disc_cut(radius=20)], twins=False)
        cut = made.cuts[0]
        assert cut is not None
        sizes.append(made.motion.scale[0] * np.sqrt(cut.area) / SIZE)
        places.append(made.motion.centre[0] / SIZE)
    assert 0.11 < min(sizes) < 0.16 and 0.6 < max(sizes) < 0.8
    assert np.median(sizes) == pytest.approx(np.sqrt(0.12 * 0.75), rel=0.24), "evenly over the logarithm"
    assert 0.07 < np.min(places) < 0.13 and 0.87 < np.max(places) < 0.93


def test_twins_look_alike_and_are_often_beside() -> None:
    beside, alike, ratios = [], [], []
    for seed in range(150):
        first, second = cast_actors(np.random.default_rng(seed), 1, SIZE, [disc_cut(radius=20)], twins=True)
        a, b = first.cuts[0], second.cuts[0]
        assert a is not None and b is not None
        own = first.motion.scale[0] * np.sqrt(a.area)
        distance = np.linalg.norm(second.motion.centre[0] - first.motion.centre[0]) / own
        beside.append(0.4 < distance < 1.75)
        ratios.append(second.motion.scale[0] * np.sqrt(b.area) / own)
        assert (second.motion.centre[0] > -3).all() and (second.motion.centre[0] < SIZE + 3).all()
        middle = [tuple(c.rgba[c.rgba.shape[0] // 2, c.rgba.shape[1] // 2, :3]) for c in (a, b)]
        alike.append(middle[0] == middle[1])
    assert 0.4 < np.mean(beside) < 0.85 and 0.2 < np.mean(alike) < 0.5
    assert np.median(ratios) == pytest.approx(1, abs=0.06) and 0.08 < np.std(np.log(ratios)) < 0.3


@pytest.mark.parametrize("wanted", [1, 2, 3])
def test_so_many_actors_as_wanted_come_from_the_pool(wanted: int) -> None:
    given, counts, same = pool(), [], []
    for seed in range(80):
        made = cast_from_pool(given, np.random.default_rng(seed), 1, SIZE, wanted)
        counts.append(len(made))
        same.append(len(made))
    if wanted == 1:
        assert set(counts) == {1, 2} and 0.3 < np.mean(np.array(counts) == 2) < 0.6, "twins"
    else:
        assert set(counts) == {wanted}


def test_others_of_the_same_category_are_cast_more_often_than_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    named: list[bool] = []
    given = pool()
    plain = given.draw_object

    def draw_object(rng: np.random.Generator, category: str | None = None) -> tuple[Photo, int]:
        asked.append(category)
        return plain(rng, category)

    monkeypatch.setattr(given, "draw_object", draw_object)
    for seed in range(20):
        asked.clear()
        cast_from_pool(given, np.random.default_rng(seed), 1, SIZE, 16)
        assert asked[0] is None and len(asked) in (15, 16)
        assert len(set(asked) - {None}) == 1
        named += [name is not None for name in asked[1:]]
    assert 0.35 < np.mean(named) < 0.55


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
