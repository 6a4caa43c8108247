"""The parts of SynthVS: chance, curves, drawing, stuff, the development of frames."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import affine_transform, map_coordinates

from univs.data.synth.background import UNKNOWN, make_background, photo_background, photo_cut
from univs.data.synth.dice import Dice, dyadic, fold
from univs.data.synth.film import Film
from univs.data.synth.look import Look
from univs.data.synth.render import Pose, draw, view
from univs.data.synth.spline import warp
from univs.data.synth.stuff import STUFF, paint
from univs.data.synth.textures import PATTERNS


def test_dice_streams_have_the_numbers_that_pcg64_gives():
    bits = np.random.PCG64(np.random.SeedSequence((2, 3, 5))).random_raw(2)
    dice = Dice(3, 5)
    assert [dice.uniform(), dice.uniform()] == [int(raw >> np.uint64(11)) * 2.0**-53 for raw in bits]
    assert Dice(3).uniform() != Dice(3, 0).uniform() != Dice(3, 0, 0).uniform()
    assert Dice(3).child(5, 1).uniform() == Dice(3, 5, 1).uniform()


def test_curves_are_cubic_splines_of_their_knots():
    curve = Dice(4).curve(41, 2, 10.0)
    third = np.diff(curve, 3, axis=0)  # constant between knots
    start = Dice(4).uniform()
    pieces = np.floor(start + np.arange(41) / 10).astype(int)
    same = pieces[:-3] == pieces[3:]
    np.testing.assert_allclose(third[1:][same[1:] & same[:-1]], third[:-1][same[1:] & same[:-1]], atol=1e-12)
    assert np.abs(curve).max() <= 1
    np.testing.assert_array_equal(Dice(4).curve(7, 2, 10.0), curve[:7])


def test_fold_and_dyadic():
    np.testing.assert_allclose(fold(np.array([0, 1, 1.5, 3, 4.25, -1.25]), 1.0), [0, 1, 0.5, -1, 0.25, -0.75])
    np.testing.assert_array_equal(dyadic(np.array([0.3, -1.00001]), 2), [0.25, -1.0])


def pose(**changes) -> Pose:
    standard = {"x": 50.0, "y": 40.0, "size": 40.0, "shape": (1.0, 1.0), "angle": 0.0, "pulls": np.zeros((9, 2)),
                "sweep": (0.0, 0.0), "shadow": 0.0}  # fmt: skip
    return Pose(**{**standard, **changes})


def drawn(look: Look, **changes) -> tuple[np.ndarray, np.ndarray]:
    frame, labels = Image.new("RGB", (100, 80), (110, 120, 130)), np.zeros((80, 100), np.uint8)
    draw(frame, labels, look, pose(**changes), 9)
    return np.asarray(frame), labels


def bar() -> Look:
    """A 40 x 20 bar, left half red, right half blue, no margin of its own beyond one pixel."""
    picture = np.zeros((20, 40, 4), np.uint8)
    picture[1:-1, 1:20] = (255, 0, 0, 255)
    picture[1:-1, 20:-1] = (0, 0, 255, 255)
    return Look(picture, "bar")


def test_a_thing_lands_where_its_pose_says():
    frame, labels = drawn(bar())
    assert set(np.unique(labels)) == {0, 9}
    rows, columns = np.nonzero(labels)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (31, 48, 31, 68)
    assert tuple(frame[40, 35]) == (255, 0, 0) and tuple(frame[40, 65]) == (0, 0, 255)
    assert tuple(frame[5, 5]) == (110, 120, 130)


def test_mirror_turn_and_scale_act_about_the_middle():
    frame, _ = drawn(bar(), shape=(-1.0, 1.0))
    assert tuple(frame[40, 35]) == (0, 0, 255)
    frame, labels = drawn(bar(), angle=math.pi / 2)  # clockwise: what was left is up
    assert tuple(frame[25, 50]) == (255, 0, 0) and tuple(frame[55, 50]) == (0, 0, 255)
    rows, columns = np.nonzero(labels)
    assert rows.max() - rows.min() == 37 and columns.max() - columns.min() == 17
    small = (drawn(bar(), size=10.0)[1] > 0).sum()
    assert small == pytest.approx((drawn(bar())[1] > 0).sum() / 16, rel=0.25)


def test_out_of_sight_and_cut_off_things():
    assert not drawn(bar(), x=-60.0)[1].any()
    labels = drawn(bar(), x=0.0)[1]
    assert labels[:, 0].any() and (labels > 0).sum() == pytest.approx(18 * 19, abs=2)


def test_a_warp_moves_pixels_as_its_formula_says():
    """It takes a frame pixel to u + warp(u): checked with SciPy's sampling of the same map."""
    rng = np.random.default_rng(0)
    alpha = np.pad((rng.random((7, 7)) > 0.5).astype(np.uint8).repeat(8, 0).repeat(8, 1) * 255, 4)
    picture = np.dstack([np.full((64, 64, 3), 255, np.uint8), alpha])
    pulls = rng.uniform(-0.08, 0.08, (9, 2))
    _, labels = drawn(Look(picture, None), size=64.0, x=50.0, y=40.0, pulls=pulls)
    y, x = np.mgrid[0:80, 0:100] + 0.5
    u = np.stack([(x - 50) / 64, (y - 40) / 64], -1)
    source = (u + warp(u, pulls)) * 64 + 32 - 0.5
    exact = map_coordinates(alpha.astype(float), [source[..., 1], source[..., 0]], order=1)
    disagree = ((labels > 0) != (exact >= 128)).mean()
    assert disagree < 0.015, disagree  # within a mesh cell the map is bilinear
    assert ((labels > 0) != (drawn(Look(picture, None), size=64.0)[1] > 0)).mean() > 0.05


def test_sweep_smears_the_picture_and_not_the_label():
    sharp, labels = drawn(bar())
    smeared, same = drawn(bar(), sweep=(8.0, 0.0))
    np.testing.assert_array_equal(labels, same)
    assert (smeared[40] != sharp[40]).any(-1).sum() > 8
    assert abs(int(smeared.sum()) - int(sharp.sum())) < 0.01 * sharp.sum()


def test_a_shadow_darkens_the_ground_under_a_thing():
    plain, _ = drawn(bar())
    shaded, labels = drawn(bar(), shadow=0.8)
    below = np.s_[49:52, 40:60]
    assert shaded[below].sum() < 0.8 * plain[below].sum()
    np.testing.assert_array_equal(shaded[labels > 0], plain[labels > 0])


def test_view_is_the_affine_map_of_the_camera():
    rng = np.random.default_rng(1)
    canvas = np.asarray(Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).resize((180, 120), 3))
    angle, zoom, centre = 0.1, 1.1, np.array([92.3, 61.7])
    seen = np.asarray(view(Image.fromarray(canvas), (64, 96), centre, zoom, angle)).astype(float)
    turn = zoom * np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])  # in y, x
    offset = centre[::-1] - 0.5 - turn @ (np.array([64, 96]) / 2 - 0.5)
    for channel in range(3):
        exact = affine_transform(canvas[..., channel].astype(float), turn, offset, (64, 96), order=1)
        assert np.abs(exact - seen[..., channel]).max() <= 1.1


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_patterns_fill_any_size_and_are_no_flat_grey(name):
    for height, width in ((60, 90), (700, 1000)):
        values = PATTERNS[name](Dice(1, 2), height, width)
        assert values.shape == (height, width) and values.dtype == np.uint8
        assert values.std() > 4, name


def test_backgrounds_know_their_stuff():
    names = set()
    for number in range(40):
        background = make_background(Dice(number), 90, 160)
        assert background.picture.size == (160, 90) and background.stuff.shape == (90, 160)
        names |= set(np.unique(background.stuff))
    assert len(names) > 15 and max(names) < len(STUFF)
    flat = np.full((50, 40, 3), 77, np.uint8)
    photo = photo_background(flat, photo_cut((50, 40), Dice(1), 90, 160), Dice(1), 90, 160)
    assert (np.asarray(photo.picture) == 77).all() and (photo.stuff == UNKNOWN).all()


def test_stuff_has_colours_between_the_ends_of_its_ramp():
    snow = next(stuff for stuff in STUFF if stuff.name == "snow")
    for number in range(5):
        assert 120 < paint(snow, Dice(number), 50, 60)[..., :3].mean() < 256


def test_development_without_difficulty_is_clean_and_with_it_is_not():
    frame = Image.fromarray(np.full((48, 64, 3), 120, np.uint8))
    noisy = []
    for number in range(12):
        clean = Film(Dice(number), 4, 0.0).develop(frame, 2)
        assert np.ptp(clean.reshape(-1, 3), axis=0).max() <= 2
        noisy.append(Film(Dice(number), 4, 1.0).develop(frame, 2).std(axis=(0, 1)).max())
    assert sum(level > 2 for level in noisy) >= 5


def test_camera_movement_smears_along_its_way_only():
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20] = 240
    film = Film(Dice(3), 1, 0.0)
    film._quality = 0
    across = film.develop(Image.fromarray(pixels), 0, (6.0, 0.0)).astype(int)
    along = film.develop(Image.fromarray(pixels), 0, (0.0, 6.0)).astype(int)
    np.testing.assert_array_equal(along, film.develop(Image.fromarray(pixels), 0))
    assert across[10, 20].max() < along[10, 20].max() / 2 + 20
    assert (across[10, :, 0] > across[10, 0, 0]).sum() >= 3


def test_the_licence_lies_beside_and_inside_the_archive():
    import zipfile

    from univs.data.synth.sprites import ARCHIVE

    with zipfile.ZipFile(ARCHIVE) as archive:
        inside = archive.read("LICENSE.txt")
    assert inside == ARCHIVE.with_name("sprites.LICENSE.txt").read_bytes() and b"MIT License" in inside
    assert ARCHIVE.stat().st_size < 3 << 20
    assert io.BytesIO(inside).readline().startswith(b"The pictures")
