"""Clips made of photos: what moves where, what hides what, and what is labelled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from univs.data.photo import Photo

pytest.importorskip("cv2")

from tests.data.disc_scenes import SIZE, actor, centre_of, disc_cut, empty, pool  # noqa: E402
from univs.data import composites  # noqa: E402
from univs.data.composites import (  # noqa: E402
    Actor,
    add_actors,
    cast_actors,
    cast_from_pool,
    make_actor,
    make_motion,
)
from univs.data.cutouts import CutOut  # noqa: E402


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


def test_every_cut_out_is_of_the_object_that_was_drawn(
    scripted: Callable[..., np.random.Generator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids are those of each photo: 1 of the first one, 2 of the second one."""
    labels = np.zeros((100, 100), np.uint8)
    labels[10:40, 10:40], labels[50:90, 50:90] = 1, 2
    photos = [Photo(np.full((100, 100, 3), value, np.uint8), labels) for value in (90, 180)]
    drawn = iter(zip(photos, (1, 2), strict=True))
    given = pool()
    monkeypatch.setattr(given, "draw_object", lambda rng, category=None: next(drawn))
    cast: list[CutOut] = []
    monkeypatch.setattr(composites, "cast_actors", lambda rng, frames, size, cuts, twins: cast.extend(cuts))
    cast_from_pool(given, scripted([NEVER, NEVER]), 1, SIZE, 2)
    assert [(cut.area, int(cut.rgba[20, 20, 0])) for cut in cast] == [(900, 90), (1600, 180)]
