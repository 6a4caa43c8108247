"""Each effect changes what it should, masks go with the pixels, and difficulty scales all of it, from nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from univs.data.synth import SynthVS
from univs.data.synth.dice import Dice
from univs.data.synth.film import Film
from univs.data.synth.look import Look
from univs.data.synth.motion import STRONGEST_PULL, Motion, film, move
from univs.data.synth.scene import Scene

SMALL, FRAMES = (96, 160), 24


def scenes(difficulty: float, count: int = 25) -> list[Scene]:
    world = SynthVS("train", SMALL, FRAMES, seed=2, difficulty=difficulty)
    return [world.scene(number) for number in range(count)]


def motions(difficulty: float, count: int = 200) -> list[Motion]:
    return [move(Dice(7, number), FRAMES, 5 / 3, difficulty, 0.4, 1.0) for number in range(count)]


def bending(motion: Motion) -> float:
    return float(np.abs(motion.pulls).mean())


def growth(motion: Motion) -> float:
    return float(np.ptp(np.log(motion.size)))


def way(motion: Motion) -> float:
    return float(np.abs(np.diff(motion.place, axis=0)).mean())


@pytest.mark.parametrize("effect", [bending, growth, way])
def test_difficulty_scales_how_things_move(effect: Callable[[Motion], float]) -> None:
    easy, middle, hard = (np.mean([effect(m) for m in motions(d)]) for d in (0.0, 0.4, 1.0))
    assert easy < 0.6 * middle < 0.6 * hard


def test_without_difficulty_nothing_bends_and_the_camera_stands() -> None:
    for scene in scenes(0.0):
        camera = scene.camera
        assert not np.ptp(camera.centre, axis=0).any() and not np.ptp(camera.zoom) and not camera.angle.any()
        assert not any(thing.motion.pulls.any() for thing in scene.things)
    assert not any(m.pulls.any() for m in motions(0.0))


def test_the_camera_pans_zooms_rolls_and_shakes() -> None:
    def moved(difficulty: float) -> list[np.ndarray]:
        made = [film(Dice(9, n), FRAMES, SMALL, (144, 240), difficulty) for n in range(60)]
        jerk = [np.abs(np.diff(c.centre, 2, axis=0)).max() for c in made]
        return [
            np.array([np.ptp(c.centre, axis=0).max() for c in made]),
            np.array([np.ptp(np.log(c.zoom)) for c in made]),
            np.array([np.ptp(c.angle) for c in made]),
            np.array(jerk),
        ]

    calm, some, wild = moved(0.0), moved(0.4), moved(1.0)
    for none, less, more in zip(calm, some, wild, strict=True):
        assert not none.any() and 0 < less.mean() < more.mean()
        assert 0.1 < (more == 0).mean() < 0.4, "a quarter of the cameras stands"


def test_films_are_clean_without_difficulty_and_drift_with_it() -> None:
    """Of the light of a grey frame over time; every film has a tint of its own."""
    grey = Image.new("RGB", (64, 48), (120, 120, 120))

    def light(difficulty: float) -> np.ndarray:
        found = []
        for number in range(30):
            made = Film(Dice(number), FRAMES, difficulty)
            found.append([made.develop(grey, t).mean() for t in (0, 8, 16, 23)])
        return np.ptp(np.array(found), axis=1)

    assert not light(0.0).any()
    assert 1 < np.median(light(0.4)) < np.median(light(1.0))
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for number in range(30):
        made = Film(Dice(number), FRAMES, 0.0)
        table = made.develop(Image.fromarray(np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)), 0)[0]
        sharp = np.stack([table[pixels[..., c], c] for c in range(3)], -1)
        np.testing.assert_array_equal(made.develop(Image.fromarray(pixels), 3), sharp)


def flag() -> Look:
    """A magenta flag that is no mirror image of itself, opaque, on a margin."""
    picture = np.zeros((60, 100, 4), np.uint8)
    picture[4:30, 4:96] = picture[30:56, 4:40] = (255, 0, 255, 255)
    return Look(picture, "flag", soft=1.0)


def test_masks_go_with_the_pixels_under_all_movements(monkeypatch: pytest.MonkeyPatch) -> None:
    """A magenta thing on grey, before light, blur and grain: where it is magenta it is labelled, and nowhere else."""
    seen = warped = turned = mirrored = 0
    for scene in scenes(1.0, 40):
        thing = next((thing for thing in scene.things if thing.motion.pulls.any()), None)
        if thing is None:
            continue
        scene.things = (replace(thing, look=flag(), shadow=0.0),)
        grey = Image.new("RGB", scene.background.picture.size, (128, 128, 128))
        scene.background = replace(scene.background, picture=grey)
        monkeypatch.setattr(scene, "_shutter", 0.0)
        monkeypatch.setattr(scene._film, "develop", lambda frame, t, sweep: np.asarray(frame))
        for t in (0, 11, 23):
            frame, labels = scene.compose(t)
            magenta = frame[..., 1] < 64
            if magenta.sum() < 150:
                continue
            both = (magenta & (labels > 0)).sum() / (magenta | (labels > 0)).sum()
            assert both > 0.97 and set(np.unique(labels)) <= {0, thing.number}
            seen += 1
            warped += int(np.abs(thing.motion.pulls[t]).max() > 0.03)
            turned += int(abs(thing.motion.angle[t]) > 0.15)
            mirrored += int(thing.motion.shape[t, 0] < 0)
    assert min(seen, warped, turned, mirrored) > 8


def test_warps_are_no_stronger_than_they_may_be_and_move_nothing_as_a_whole() -> None:
    for motion in motions(1.0):
        assert np.abs(motion.pulls).max() <= 1.4 * 2 * STRONGEST_PULL
        np.testing.assert_allclose(motion.pulls.mean(1), 0, atol=1e-12)


def test_what_comes_nearer_grows_and_covers_what_is_farther() -> None:
    """Change of size and of depth agree, but for what walks up or down the ground."""
    agreed = []
    for motion in motions(1.0):
        depth = motion.depth - (motion.place[:, 1] if motion.grounded else 0)
        steps, sizes = np.diff(depth), np.diff(motion.size)
        moving = np.abs(sizes) > 1e-6
        agreed += (np.sign(steps[moving]) == np.sign(sizes[moving])).tolist()
    assert len(agreed) > 1000 and np.mean(agreed) == 1


def test_things_leave_and_come_back_bounce_and_stay() -> None:
    made = motions(0.6, 300)
    beyond = [np.abs(m.place[:, 0]) > 5 / 6 + m.size / 2 for m in made]
    assert any((~out[:-1] & out[1:]).any() and (out[:-1] & ~out[1:]).any() for out in beyond)
    jumps = [np.abs(np.diff(m.place[:, 0])).max() for m in made]
    assert 0.02 < np.mean(np.array(jumps) > 1) < 0.3, "out at one side and in at the other"
    still = [m.parallax == 1 for m in made]
    assert 0.06 < np.mean(still) < 0.2
    hops = [np.abs(np.diff(m.place[:, 1], 2)).max() for m in made if m.grounded]
    assert np.max(hops) > 10 * np.median(hops), "some bounce"


def test_look_alikes_are_common_and_more_so_where_it_is_hard() -> None:
    def share(difficulty: float) -> float:
        found = scenes(difficulty, 80)
        return float(np.mean([len({t.look for t in s.things}) < len(s.things) for s in found if len(s.things) > 1]))

    assert 0.1 < share(0.0) < share(1.0) and share(1.0) > 0.6
