"""Photo mode: backgrounds and things made of a folder of photos, with and without label maps."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from univs.data.synth import SynthVS
from univs.data.synth.background import photo_background, photo_cut
from univs.data.synth.dice import Dice
from univs.data.synth.photos import PhotoFolder
from univs.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """Three photos, two of them with a label map: a red square (region 7) on green (region 1)."""
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for number in range(3):
        pixels = np.zeros((90, 120, 3), np.uint8)
        pixels[..., 1] = 200
        labels = np.ones((90, 120), np.uint8)
        pixels[20:50, 40:80] = (250, 0, 0)
        labels[20:50, 40:80] = 7
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        if number:
            Image.fromarray(labels).save(tmp_path / "labels" / f"{number}.png")
    return tmp_path


def test_a_region_is_cut_out_along_its_outline(folder):
    cut = PhotoFolder(folder).cut_out(Dice(1))
    assert cut is not None
    opaque = cut[cut[..., 3] == 255]
    assert len(opaque) == 28 * 38  # 30 x 40 without the rim that fades out
    assert (opaque[:, :3] == (250, 0, 0)).all()
    assert 29 * 39 <= (cut[..., 3] >= 128).sum() <= 30 * 40


def test_photos_are_found_with_and_without_a_folder_of_images(folder):
    assert len(PhotoFolder(folder).files) == 3
    plain = PhotoFolder(folder / "images")
    assert len(plain.files) == 3 and plain.cut_out(Dice(1)) is None
    assert plain.photo(Dice(1)).shape == (90, 120, 3)
    assert plain.texture(Dice(1), 33, 21).shape == (33, 21, 3)


def test_clips_are_repeatable_not_complete_and_made_of_the_photos(folder):
    datasets = [SynthVS(size=(96, 160), num_frames=2, photos=folder) for _ in range(2)]
    green = 0
    for clip in range(8):
        first, second = datasets[0][clip], datasets[1][clip]
        np.testing.assert_array_equal(first.frames, second.frames)
        assert not first.complete and set(first.categories) <= set(first.object_ids())
        background = first.frames[0][first.labels[0] == 0].mean(0)
        green += int(background[1] > 2 * background[0])
    assert green >= 3
    nouns = [thing.look.noun for clip in range(20) for thing in datasets[0].scene(clip).things]
    assert 0.1 < sum(noun is not None for noun in nouns) / len(nouns) < 0.5


def test_an_empty_folder_and_a_label_map_of_another_size_are_refused(folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"no .*\.jpg"):
        PhotoFolder(empty)
    for number in (1, 2):
        Image.fromarray(np.ones((5, 5), np.uint8)).save(folder / "labels" / f"{number}.png")
    with pytest.raises(UserError, match="5x5"):
        PhotoFolder(folder).cut_out(Dice(1))


def test_a_photo_is_taken_apart_into_what_is_behind_and_its_object(folder):
    """The square is gone from the photo, green is where it was; the other region is too large."""
    apart = PhotoFolder(folder).taken_apart(Dice(1))
    assert apart is not None and apart.middle == (60, 35)
    assert (apart.photo == (0, 200, 0)).all()
    np.testing.assert_array_equal(apart.cut_out, PhotoFolder(folder).cut_out(Dice(1)))
    assert PhotoFolder(folder / "images").taken_apart(Dice(1)) is None


def test_the_object_of_a_photo_starts_where_it_was_and_then_goes_its_own_way(folder):
    """Where the camera stands, and as large; the canvas around the frame may hold it as well."""
    height, width = size = (90, 120)
    (folder / "images" / "0.png").unlink()  # all have labels
    apart = moved = 0
    for clip in range(60):
        world = SynthVS(size=size, num_frames=12, photos=folder, difficulty=0.0)
        scene = world.scene(clip)
        first, stuff = scene.things[0], scene.background.stuff
        if first.look.noun is not None or not (stuff == 255).all():
            continue
        pixels = np.asarray(scene.background.picture)
        if (pixels[..., 0] > 128).any() or abs(first.look.width / first.look.height - 52 / 42) > 0.05:
            continue  # the square is there still, or another thing came first
        apart += 1
        # a canvas of 135 x 180 shows the photo of 90 x 120 whole: 1.5 times as large, perhaps mirrored
        where = {90.0: (90, 52.5)}[float(1.5 * 60)]
        canvas = (first.places[0] - [width / 2, height / 2]) * scene.camera.zoom[0] + scene.camera.centre[0]
        np.testing.assert_allclose(canvas, where, atol=1e-6)
        drawn = first.motion.size[0] * height * scene.camera.rest_zoom
        assert drawn == pytest.approx(1.5 * first.look.width)
        moved += int(np.abs(first.places[11] - first.places[0]).max() > 1)
    assert apart > 8 and moved > 4


@pytest.mark.parametrize("object_first", [False, True])
def test_a_binary_mask_has_one_region_whatever_is_the_larger_part(folder, object_first):
    """And none where it shows nothing."""
    mask = np.zeros((90, 120), np.uint8)
    mask[20:50, 40:80] = 255
    if object_first:
        mask = 255 - mask  # the object is too large, and what is around it is none
    for number in (1, 2):
        Image.fromarray(mask).save(folder / "labels" / f"{number}.png")
    cut = PhotoFolder(folder).cut_out(Dice(1))
    assert (cut is None) == object_first and (cut is None or (cut[cut[..., 3] == 255][:, :3] == (250, 0, 0)).all())


def test_points_of_a_photo_are_found_on_its_cut():
    """A white square in an empty photo, wherever the photo is cut and whichever way round it is shown."""
    photo = np.zeros((60, 110, 3), np.uint8)
    photo[20:28, 60:72] = 255
    mirrored, moved = set(), set()
    for number in range(20):
        for height, width in ((120, 120), (60, 150)):
            cut = photo_cut((60, 110), Dice(number), height, width)
            shown = photo_background(photo, cut, Dice(1), height, width).picture
            rows, columns = np.nonzero(np.asarray(shown)[..., 0] > 127)
            x, y = cut.place(66, 24)
            if 20 < x < width - 20 and 12 < y < height - 12:
                assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((x, y), abs=1)
                mirrored.add(cut.mirrored)
                moved.add((cut.left > 0, cut.top > 0))
    assert mirrored == {True, False} and {(True, False), (False, True)} <= moved
