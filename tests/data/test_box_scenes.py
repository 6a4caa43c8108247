"""Views of videos and photos with boxes: what is drawn in them lies where the boxes say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")

from tests.formats.box_folders import write_csv  # noqa: E402
from univs.data.box_scenes import (  # noqa: E402
    MOST_OBJECTS,
    Boxes,
    BoxesOfLabels,
    box_scene,
    choose_boxed,
    draw_box_prompts,
    draw_view,
    moving_views,
    seen_box,
)
from univs.data.photo import Photo  # noqa: E402
from univs.data.prompt_drawing import KINDS  # noqa: E402
from univs.data.video_scenes import SampleVideo  # noqa: E402
from univs.formats.box_tables import read_csv  # noqa: E402
from univs.formats.boxes import Box, tight_boxes  # noqa: E402
from univs.formats.sample import VideoSample  # noqa: E402

HEIGHT, WIDTH = 90, 120


class Squares:
    """Frames of 90 x 120 pixels, black, with a red square 1 that moves and a blue one 2 that stays."""

    complete = True

    def __init__(self, length: int = 6) -> None:
        self.annotated: Sequence[int] = range(length)
        self.times: list[int] = []

    def read_boxes(self, index: int) -> tuple[np.ndarray, Mapping[int, Box]]:
        self.times.append(index)
        boxes: dict[int, Box] = {1: (20.0 + 4 * index, 30.0, 44.0 + 4 * index, 54.0), 2: (80.0, 40.0, 110.0, 80.0)}
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for number, (x0, y0, x1, y1) in boxes.items():
            image[int(y0) : int(y1), int(x0) : int(x1), 0 if number == 1 else 2] = 255
        return image, boxes


@pytest.mark.parametrize("length", [6, 1])
def test_boxes_lie_around_what_is_seen(length: int) -> None:
    """Of a video, and of a photo whose view moves; half of the clips are mirrored."""
    moved = gone = 0
    for seed in range(40):
        scene = box_scene(Squares(length), np.random.default_rng(seed), 4, 64, gaps=(1, 2))
        assert scene.frames.shape == (4, 64, 64, 3) and scene.boxes.shape == (2, 4, 4) and scene.complete
        for number, channel in ((0, 0), (1, 2)):
            for t in range(4):
                box = scene.boxes[number, t]
                gone += not box.any()
                if box.any():
                    found = tight_boxes((scene.frames[t, :, :, channel] > 127).astype(np.uint8))[1]
                    np.testing.assert_allclose(box, found, atol=1.6)
        moved += len({tuple(box) for box in scene.boxes[1].round().tolist()}) > 1
    assert gone > 0
    assert (moved > 20) if length == 1 else (moved == 0), "the square that stays moves with the view of a photo alone"


@pytest.mark.parametrize("length", [6, 1])
def test_half_of_the_views_are_mirrored(length: int) -> None:
    """The red square lies left of the blue one, where neither is cut."""
    mirrored = []
    for seed in range(80):
        scene = box_scene(Squares(length), np.random.default_rng(seed), 1, 64, gaps=(1, 1))
        red, blue = scene.boxes[:, 0]
        if red.any() and blue.any():
            mirrored.append(red[0] + red[2] > blue[0] + blue[2])
    assert len(mirrored) > 30 and 0.3 < np.mean(mirrored) < 0.7


def test_boxes_and_frame_of_a_recording_are_of_one_time(tmp_path: Path) -> None:
    """The second frame has no boxes: the second with boxes is the third one."""
    write_csv(tmp_path)
    (recording,) = read_csv(tmp_path).recordings
    image, found = Boxes([recording])[0].read_boxes(1)
    assert np.array_equal(image, recording.frame(2)) and found == recording.boxes_of(2)


def test_frames_of_a_video_are_taken_with_gaps() -> None:
    steps = set()
    for seed in range(20):
        video = Squares(9)
        box_scene(video, np.random.default_rng(seed), 3, 32, gaps=(2, 3))
        steps.update(np.diff(video.times).tolist())
    assert steps == {2, 3}


def test_what_a_view_makes_of_a_box() -> None:
    """Scaled, cut at the sides, mirrored; too little of it, or too thin a rest, is nothing."""
    view = (10, 20, 50, 40)  # 40 x 20 pixels, shown 80 x 80
    assert seen_box((20, 25, 30, 35), view, 80, False).tolist() == [20, 20, 40, 60]
    assert seen_box((20, 25, 30, 35), view, 80, True).tolist() == [40, 20, 60, 60]
    assert seen_box((0, 25, 30, 35), view, 80, False).tolist() == [0, 20, 40, 60]
    assert seen_box((49, 25, 60, 35), view, 80, False).tolist() == [0, 0, 0, 0]  # 2 pixels wide
    assert seen_box((48, 25, 100, 35), view, 80, False).tolist() == [0, 0, 0, 0]  # 4 % of it
    assert seen_box((60, 25, 70, 35), view, 80, False).tolist() == [0, 0, 0, 0]


def test_views_lie_in_the_frame_and_hold_the_middle_of_an_object() -> None:
    image, boxes = Squares().read_boxes(0)
    centres = [((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in boxes.values()]
    for seed in range(60):
        rng = np.random.default_rng(seed)
        first = draw_view(rng, (image, boxes))
        assert any(first[0] <= x <= first[2] and first[1] <= y <= first[3] for x, y in centres)
        for x0, y0, x1, y1 in [first, *moving_views(rng, first, 5, (HEIGHT, WIDTH))]:
            assert 0 <= x0 < x1 <= WIDTH and 0 <= y0 < y1 <= HEIGHT
    assert draw_view(np.random.default_rng(0), (image, {}))[2] <= WIDTH


class Crowd(Squares):
    """Thirty boxes, each one pixel wider than the one before."""

    def read_boxes(self, index: int) -> tuple[np.ndarray, Mapping[int, Box]]:
        image, _ = super().read_boxes(index)
        return image, {number: (0.0, 0.0, 10.0 + number, 80.0) for number in range(1, 31)}


def test_the_largest_of_many_are_kept_and_then_not_all_are_known() -> None:
    scene = box_scene(Crowd(), np.random.default_rng(0), 2, 32, gaps=(1, 1))
    assert len(scene.boxes) == MOST_OBJECTS and not scene.complete
    widths = np.ptp(scene.boxes[:, 0][:, [0, 2]], axis=1)
    assert (np.diff(widths[widths < 32]) > 0).all()


def test_boxes_of_labels_and_of_photos() -> None:
    labels = np.zeros((2, 20, 30), np.uint8)
    labels[0, 4:9, 6:20], labels[1, 2:5, 3:4] = 3, 8
    frames = np.zeros((2, 20, 30, 3), np.uint8)
    video = BoxesOfLabels(SampleVideo(VideoSample(frames, labels, complete=True)))
    assert video.complete and len(video.annotated) == 2
    assert video.read_boxes(0)[1] == {3: (6, 4, 20, 9)} and video.read_boxes(1)[1] == {8: (3, 2, 4, 5)}

    class Photos:
        name = "photos"

        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Photo:
            return Photo(frames[0], labels[0], complete=False)

        def nouns(self, index: int) -> frozenset[str]:
            return frozenset()

    boxes = Boxes(Photos())
    assert boxes.sort == "photo" and len(boxes) == 1 and not boxes[0].complete
    assert boxes[0].read_boxes(0)[1] == {3: (6, 4, 20, 9)} and list(boxes[0].annotated) == [0]
    assert Boxes([video.video]).sort == "video"
    still = SampleVideo(VideoSample(frames[:1], labels[:1], complete=True))
    assert Boxes([still, video.video]).sort == "video" and Boxes([still, still]).sort == "photo"


def test_targets_are_objects_that_are_seen_larger_ones_more_often() -> None:
    boxes = np.array([[0, 0, 40, 40], [0, 0, 0, 0], [10, 10, 20, 20], [5, 5, 7, 7]], np.float32)
    rng = np.random.default_rng(0)
    drawn = [choose_boxed(boxes, rng, 2, 50) for _ in range(400)]
    assert {i for ids in drawn for i in ids} == {1, 3} and {len(ids) for ids in drawn} == {1, 2}
    alone = [ids[0] for ids in drawn if len(ids) == 1]
    assert abs(np.mean(np.array(alone) == 1) - 0.8) < 0.07  # by the root of the area: 40 to 10
    assert choose_boxed(boxes[1:2], rng, 2, 50) == ()
    assert set(choose_boxed(boxes, rng, 4, 1, several=False)) == {1, 3, 4}


def test_prompts_of_boxes() -> None:
    """Clicks near the middle; what takes a mask becomes a box; nothing for what is not seen."""
    boxes = np.array([[8, 10, 40, 30], [0, 0, 0, 0], [2, 2, 20, 60]], np.float32)
    rng = np.random.default_rng(0)
    kinds = []
    for _ in range(200):
        drawn = draw_box_prompts(rng, boxes, (3, 2, 1), {"mask": 1.0, "box": 1.0, "point": 1.0, "scribble": 1.0}, 4, 64)
        assert drawn.ids.tolist() == [3, 0, 1, 0] and not drawn.strokes.any() and drawn.strokes.shape == (64, 64)
        for row, number in ((0, 3), (2, 1)):
            kinds.append(KINDS[drawn.kinds[row]])
            true = boxes[number - 1]
            if kinds[-1] == "box":
                size = np.tile(true[2:] - true[:2], 2)
                assert (np.abs(drawn.boxes[row] - true) <= 0.081 * size).all() and (drawn.signs[row] == -1).all()
            else:
                assert drawn.signs[row].tolist() == [1, -1, -1] and not drawn.boxes[row].any()
                share = (drawn.points[row, 0] - true[:2]) / (true[2:] - true[:2])
                assert (np.abs(share - 0.5) < 0.2).all() and (drawn.points[row, 0] % 1 == 0.5).all()
        assert drawn.signs[1].tolist() == [-1, -1, -1]
    assert set(kinds) == {"box", "point"} and abs(np.mean(np.array(kinds) == "point") - 0.25) < 0.07
