"""Photo mode: backgrounds and things made of a folder of photos, with and without label maps."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from univs.data.synth import SynthVS
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
