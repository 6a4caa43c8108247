"""Clips cut out of labelled videos."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("cv2")

from univs.data import video_scenes  # noqa: E402
from univs.data.composites import Actor, Scene  # noqa: E402
from univs.data.video_scenes import SampleVideo, copy_of_object, crop_around_object, pick_frames, video_scene  # noqa: E402
from univs.formats.sample import VideoSample  # noqa: E402


class Coordinates:
    """A video whose colours say where and when: red x, green y, blue 10 t; object 3 moves right by 2 pixels."""

    complete = True

    def __init__(self, length: int = 9, height: int = 90, width: int = 120) -> None:
        self.annotated, self.height, self.width = range(length), height, width

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        xs, ys = np.meshgrid(np.arange(self.width), np.arange(self.height))
        labels = np.zeros(xs.shape, np.uint8)
        labels[30:60, 40 + 2 * index : 70 + 2 * index] = 3
        return np.dstack([xs, ys, 0 * xs + 10 * index]).astype(np.uint8), labels


@pytest.mark.parametrize(("length", "gaps"), [(20, (1, 2)), (5, (1, 2)), (5, (2, 2)), (3, (1, 1)), (1, (1, 2))])
def test_frames_keep_their_gap_and_turn_at_the_end(length: int, gaps: tuple[int, int]) -> None:
    for seed in range(20):
        indices = pick_frames(np.random.default_rng(seed), length, 4, gaps)
        assert len(indices) == 4 and min(indices) >= 0 and max(indices) < length
        steps = np.abs(np.diff(indices))
        if length >= 4:
            assert set(steps) <= ({1} if length < 7 else {1, 2})
            assert (np.diff(indices) > 0).all()


def test_every_start_and_gap_is_drawn() -> None:
    drawn = {tuple(pick_frames(np.random.default_rng(seed), 8, 3, (1, 3))) for seed in range(300)}
    assert drawn == {(s, s + g, s + 2 * g) for g in (1, 2, 3) for s in range(8 - 2 * g)}
    assert {tuple(pick_frames(np.random.default_rng(s), 7, 4, (2, 2))) for s in range(20)} == {(0, 2, 4, 6)}
    assert {tuple(pick_frames(np.random.default_rng(s), 3, 5, (1, 1))) for s in range(20)} == {(0, 1, 2, 1, 0)}
    assert pick_frames(np.random.default_rng(0), 1, 3, (1, 1)) == [0, 0, 0]


def test_a_sample_is_a_video() -> None:
    frames, labels = np.zeros((2, 4, 5, 3), np.uint8), np.zeros((2, 4, 5), np.uint8)
    frames[1], labels[1] = 7, 2
    video = SampleVideo(VideoSample(frames, labels, complete=True))
    assert len(video.annotated) == 2 and video.complete and video.read(1)[0].max() == 7 and video.read(1)[1].min() == 2


def test_crops_are_the_same_on_all_frames_and_hold_the_object() -> None:
    """Pixels and labels of a crop agree with the video's own at the places that its colours name."""
    downs, acrosses, offsets = [], [], []
    for seed in range(80):
        pairs = [Coordinates().read(t) for t in (0, 4)]
        images, labels = crop_around_object(np.random.default_rng(seed), pairs, 64)
        assert images.shape == (2, 64, 64, 3) and labels.shape == (2, 64, 64)
        assert np.array_equal(images[0, ..., :2], images[1, ..., :2]) and (images[1, ..., 2] == 40).all()
        x, y = images[0, ..., 0].astype(int), images[0, ..., 1].astype(int)
        for t in range(2):
            sure = (np.abs(x[..., None] - (40 + 8 * t, 70 + 8 * t)) > 2).all(2)
            sure &= (np.abs(y[..., None] - (30, 60)) > 2).all(2)
            assert np.array_equal(labels[t][sure], pairs[t][1][y, x][sure])
        assert (labels == 3).any()
        acrosses.append(np.ptp(x) + 1)
        downs.append(np.ptp(y) + 1)
        middle = np.array([x.mean(), y.mean()])
        offsets.append(middle - (54.5, 44.5))
    assert min(downs) >= 34 and max(downs) <= 90 and 45 < np.mean(downs) < 75
    ratios = np.array(acrosses) / downs
    assert 0.85 < ratios.min() and ratios.max() < 1.5 and 1.03 < np.mean(ratios) < 1.25
    assert np.abs(np.mean(offsets, 0)).max() < 12 and np.std(offsets, 0).min() > 3


def test_frames_without_objects_are_cropped_near_the_middle() -> None:
    images, labels = Coordinates(height=100, width=200).read(0)
    for seed in range(20):
        crop, _ = crop_around_object(np.random.default_rng(seed), [(images, labels * 0)], 50)
        assert np.ptp(crop[0, ..., 1].astype(int)) > 90, "as high as the video"
        assert abs(crop[0, ..., 0].mean() - 100) < 60


def test_objects_of_the_last_frame_are_looked_at_too(scripted: Callable[..., np.random.Generator]) -> None:
    frame = np.zeros((60, 400, 3), np.uint8)
    first, last = np.zeros((2, 60, 400), np.uint8)
    first[20:40, 20:40], last[20:40, 360:380] = 1, 2
    for dice, seen in ((0.1, 1), (0.9, 2)):
        for seed in range(5):
            _, labels = crop_around_object(scripted([dice], seed), [(frame, first), (frame, last)], 32)
            assert (labels[seen - 1] == seen).any() and not (labels[2 - seen] == 3 - seen).any()


def test_a_scene_is_cut_out_of_consecutive_frames_and_half_are_mirrored() -> None:
    mirrored = []
    for seed in range(40):
        scene = video_scene(Coordinates(), np.random.default_rng(seed), 3, 48, gaps=(2, 2), pool=None)
        times = scene.frames[:, 0, 0, 2] // 10
        assert (np.diff(times) == 2).all() and scene.complete and scene.frames.flags.c_contiguous
        assert scene.favoured == ([3] if (scene.labels[0] == 3).any() else [])
        x = scene.frames[0, 24, :, 0].astype(int)
        mirrored.append(x[0] > x[-1])
        where = scene.frames[0, ..., 0].astype(int)
        inside = scene.labels[0] == 3
        left = 40 + 2 * int(times[0])
        assert (where[inside] >= left - 1).all() and (where[inside] <= left + 30).all(), "labels are mirrored alike"
    assert 0.25 < np.mean(mirrored) < 0.75


def test_look_alikes_come_with_a_pool_alone(
    scripted: Callable[..., np.random.Generator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of the clips gets them: copies of the object, and now and then cut-outs of photos as well."""
    added: list[list[str]] = []
    monkeypatch.setattr(video_scenes, "copy_of_object", lambda rng, scene: ["copy"])
    monkeypatch.setattr(video_scenes, "cast_from_pool", lambda pool, rng, frames, size, wanted: ["cut"] * wanted)
    monkeypatch.setattr(video_scenes, "add_actors", lambda scene, rng, actors: added.append(actors))

    def made(*dice: float, pool: object = True) -> list[list[str]]:
        added.clear()
        rng = scripted([0.1, 0.9, *dice])  # first frame, not mirrored
        video_scene(Coordinates(), rng, 2, 32, gaps=(1, 1), pool=pool)  # type: ignore[arg-type]
        return list(added)

    assert made(0.1, pool=None) == [] == made(0.4)
    assert made(0.3, 0.5, 0.5) == [["copy"]]
    assert made(0.3, 0.5, 0.1)[0][0] == "copy" and 2 <= len(made(0.3, 0.5, 0.1)[0]) <= 3
    assert set(made(0.3, 0.7)[0]) == {"cut"} and 1 <= len(made(0.3, 0.7)[0]) <= 2


def moving_square(frames: int = 3, step: int = 4, hidden: int | None = None) -> Scene:
    labels = np.zeros((frames, 96, 96), np.uint8)
    for t in range(frames):
        if t != hidden:
            labels[t, 30 + 3 * t : 50 + 3 * t, 20 + step * t : 44 + step * t] = 5
    images = np.where(labels[..., None] == 5, 180 + 10 * np.arange(frames)[:, None, None, None], 30).astype(np.uint8)
    return Scene(images.repeat(3, 3), labels, True)


def copied(rng: np.random.Generator, scene: Scene) -> Actor:
    (actor,) = copy_of_object(rng, scene)
    return actor


def test_a_copy_moves_as_its_object_does(scripted: Callable[..., np.random.Generator]) -> None:
    mirrors, ways = [], []
    for seed in range(40):
        actor = copied(scripted([0.9], seed), moving_square())
        assert [cut.area for cut in actor.cuts if cut] == [480] * 3
        shown = [int(cut.rgba[16, 18, 0]) for cut in actor.cuts if cut]
        assert shown == [180, 190, 200], "its own view of each frame"
        way = np.diff(actor.motion.centre, axis=0)
        ways.append(way.mean(0))
        assert (actor.motion.centre[0] > 9).all() and (actor.motion.centre[0] < 87).all()
        assert 0.6 < actor.motion.scale[0] < 1.6
        assert (actor.motion.rotation == 0).all() and (actor.motion.aspect == 1).all()
        assert actor.bend is None and (actor.opacity == 1).all() and actor.shutter == 0
        mirrors.append(actor.motion.mirror)
    assert np.median(ways, 0) == pytest.approx([4, 3], abs=1.5) and 0.2 < np.mean(mirrors) < 0.8
    backwards = copied(scripted([0.1]), moving_square())
    assert [int(cut.rgba[16, 18, 0]) for cut in backwards.cuts if cut] == [200, 190, 180]


def test_a_copy_is_hidden_where_its_object_is(scripted: Callable[..., np.random.Generator]) -> None:
    actor = copied(scripted([0.9]), moving_square(hidden=1))
    assert [cut is None for cut in actor.cuts] == [False, True, False]


def test_nothing_is_copied_that_is_small_or_cut_off() -> None:
    rng = np.random.default_rng(0)
    small = moving_square()
    small.labels[0][small.labels[0] == 5] = 0
    small.labels[0, 40:45, 40:45] = 5  # 25 of 9216 pixels are less than 0.3 %
    assert copy_of_object(rng, small) == []
    leaving = moving_square(step=30)
    assert leaving.labels[2, :, -1].any() and copy_of_object(rng, leaving) == []
    for edge in (np.s_[:, 30:50, 0:1], np.s_[:, 0:1, 20:40], np.s_[:, 95:, 20:40]):
        scene = moving_square(frames=1)
        scene.labels[edge] = 5
        assert copy_of_object(rng, scene) == []
