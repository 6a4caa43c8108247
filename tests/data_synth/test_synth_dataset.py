"""Clips of SynthVS: the same bytes everywhere, splits apart, labels that agree with what was drawn."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from univs.data.synth import SynthVS
from univs.data.synth.scene import Thing
from univs.data.synth.sprites import all_sprites, sprites_of
from univs.errors import UserError

SMALL = (96, 160)
# What any machine must give for six clips of the training split (frames, then labels); a new figure here means a new
# world, and every figure measured on SynthVS with it.
GOLDEN = "8b1c672a49358e70938ab062548613b13e302ccf0e4dae87c1e58301da704417"


def digest(dataset: SynthVS, clips: range) -> str:
    total = hashlib.sha256()
    for clip in clips:
        sample = dataset[clip]
        total.update(sample.frames.tobytes())
        total.update(sample.labels.tobytes())
    return total.hexdigest()


def test_bytes_are_the_golden_ones():
    assert digest(SynthVS(size=SMALL, num_frames=3), range(6)) == GOLDEN


def test_another_process_in_another_order_gives_the_same_bytes():
    program = (
        "import hashlib, sys; from univs.data.synth import SynthVS; "
        "data = SynthVS(size=(96, 160), num_frames=2, seed=5); "
        "data[9]; data[3]; s = data[4]; assert 'torch' not in sys.modules and 'cv2' not in sys.modules; "
        "print(hashlib.sha256(s.frames.tobytes() + s.labels.tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert other == digest(SynthVS(size=SMALL, num_frames=2, seed=5), range(4, 5))


def test_a_longer_clip_begins_as_the_shorter_one():
    for clip in range(8):
        short = SynthVS(size=SMALL, num_frames=2, difficulty=0.8)[clip]
        long = SynthVS(size=SMALL, num_frames=7, difficulty=0.8)[clip]
        np.testing.assert_array_equal(long.frames[:2], short.frames)
        np.testing.assert_array_equal(long.labels[:2], short.labels)


def test_no_two_clips_of_splits_and_seeds_are_alike():
    datasets = [SynthVS(split, SMALL, 1, seed) for split in ("train", "val", "test") for seed in (0, 1)]
    digests = {digest(dataset, range(i, i + 1)) for dataset in datasets for i in range(5)}
    assert len(digests) == 30
    names = {dataset.scene(0).things[0].places.tobytes() for dataset in datasets}
    assert len(names) == 6


def test_a_tenth_of_the_nouns_is_never_in_training():
    unseen = {sprite.noun for sprite in all_sprites() if sprite.unseen}
    assert len(all_sprites()) == len({sprite.noun for sprite in all_sprites()}) == 361
    assert 0.1 <= len(unseen) / len(all_sprites()) < 0.12
    assert not unseen & {sprite.noun for sprite in sprites_of("train")}

    def nouns(split: str) -> set[str | None]:
        dataset = SynthVS(split, SMALL, 1, difficulty=1.0)
        return {thing.look.noun for clip in range(25) for thing in dataset.scene(clip).things}

    assert not unseen & nouns("train")
    assert len(unseen & nouns("val")) > 5 and len(unseen & nouns("test")) > 5


def test_every_sprite_can_be_read_and_is_a_cut_out():
    for sprite in all_sprites():
        picture = sprite.picture()
        assert picture.dtype == np.uint8 and picture.shape[2] == 4 and max(picture.shape[:2]) > 80, sprite.noun
        alpha = picture[..., 3]
        assert alpha[:4].max() == alpha[-4:].max() == alpha[:, :4].max() == alpha[:, -4:].max() == 0
        assert alpha[4].any() and alpha[-5].any() and alpha[:, 4].any() and alpha[:, -5].any()


def test_every_label_has_a_category_and_the_other_way_round():
    for clip in range(10):
        sample = SynthVS(size=SMALL, num_frames=4, difficulty=0.9)[clip]
        assert sample.complete
        assert sample.object_ids() == sorted(sample.categories)
        assert all(sample.categories.values())


def test_label_maps_keep_the_order_of_depth():
    """Each thing drawn alone covers a region; where two meet, the label map shows the one whose depth is larger."""
    dataset, met = SynthVS(size=SMALL, num_frames=2, difficulty=1.0), 0
    for clip in range(12):
        scene = dataset.scene(clip)
        _, labels = scene.compose(1)
        things = scene.things
        alone = {}
        for thing in things:
            scene.things = (thing,)
            alone[thing.number] = scene.compose(1)[1] == thing.number
        depth = np.array([-np.inf, *(thing.motion.depth[1] for thing in things)])
        expected = np.zeros(SMALL, np.uint8)
        for thing in things:
            expected[alone[thing.number] & (thing.motion.depth[1] > depth[expected])] = thing.number
        np.testing.assert_array_equal(labels, expected)
        met += int((sum(mask.astype(int) for mask in alone.values()) > 1).any())
    assert met > 3


def test_the_camera_never_sees_beyond_the_canvas():
    dataset = SynthVS(size=SMALL, num_frames=30, difficulty=1.0)
    height, width = SMALL
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    for clip in range(30):
        camera = dataset.scene(clip).camera
        cosine, sine = np.cos(camera.angle), np.sin(camera.angle)
        turn = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
        seen = camera.centre[:, None] + camera.zoom[:, None, None] * np.einsum("tij,cj->tci", turn, corners)
        assert seen.min() >= 0 and (seen <= np.array([240, 144])).all()


def test_difficulty_makes_clips_harder():
    easy, hard = (SynthVS(size=SMALL, num_frames=6, difficulty=d) for d in (0.0, 1.0))

    calm, busy = ([data.scene(i).things for i in range(25)] for data in (easy, hard))

    def way(clips: list[tuple[Thing, ...]]) -> float:
        return float(np.median([np.abs(np.diff(thing.places[:6], axis=0)).mean() for clip in clips for thing in clip]))

    assert way(busy) > 2 * way(calm)
    assert sum(map(len, busy)) > 2 * sum(map(len, calm))


def test_it_is_a_map_style_data_set():
    dataset = SynthVS(size=SMALL, num_frames=1, length=3)
    assert len(dataset) == 3 and len(list(dataset)) == 3
    np.testing.assert_array_equal(dataset[-1].frames, dataset[2].frames)
    assert dataset[-1].name == "synth-train-0-00002"
    with pytest.raises(IndexError):
        dataset[3]


@pytest.mark.parametrize(
    "wrong",
    [
        {"split": "dev"},
        {"size": (8, 100)},
        {"num_frames": 0},
        {"difficulty": 1.5},
        {"seed": -1},
        {"photos": "/nowhere"},
    ],
)
def test_values_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UserError):
        SynthVS(**wrong)
