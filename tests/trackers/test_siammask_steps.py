"""What SiamMask's tracker asks of the network and makes of what it says, written out step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.errors import UserError
from univs.masks.geometry import Geometry
from univs.masks.rotated_boxes import rotated_box
from univs.models.siammask import SearchAnswer, Template
from univs.models.siammask_anchors import Anchors, centred_grid
from univs.models.siammask_crops import channel_mean, context_side, square
from univs.prompts import Box, Mask, Scribble
from univs.trackers.object_prompts import ObjectPrompt
from univs.trackers.siammask import BASE, LIGHT, PYSOT, VOT, SiamMaskSettings, SiamMaskTracker, box_map
from univs.trackers.siammask_answers import Choice, MaskPlace, Target, choose, placed
from univs.trackers.tracker import Clip, Frame, Question, Span

HEIGHT, WIDTH = 70, 110
FRAMES = np.random.default_rng(0).integers(0, 255, (4, HEIGHT, WIDTH, 3), dtype=np.uint8)
SHOWN = Box(1, (61, 20, 85, 36))
START = Target(73, 28, 24, 16)
SIDE = context_side(24, 16)
ACROSS, DOWN = np.meshgrid(np.arange(127) - 60, np.arange(127) - 70)
TILTED = np.hypot((0.8 * ACROSS + 0.6 * DOWN) / 24, (0.8 * DOWN - 0.6 * ACROSS) / 10)
MASK = torch.from_numpy(4 - 4 * TILTED.astype(np.float32))[None]
"""Logits of an ellipse that lies askew."""


class Told:
    """A network that says of every crop what it was told, and remembers which crops it was shown."""

    anchors, pixel_mean, mask_side = Anchors(), torch.zeros(3, 1, 1), 127

    def __init__(self, logit: float = 2.0, moved: Sequence[float] = (0.2, -0.3, 0.4, -0.5)) -> None:
        self.templates: list[np.ndarray] = []
        self.crops: list[np.ndarray] = []
        self.cells: list[list[int]] = []
        self.scores = torch.zeros(1, 2, 5, 25, 25)
        self.scores[:, 0], self.scores[0, 0, 3, 14, 9], self.scores[0, 1, 3, 14, 9] = 9.0, 0.0, logit
        self.boxes = torch.zeros(1, 4, 5, 25, 25)
        self.boxes[0, :, 3, 14, 9] = torch.tensor(moved)

    def images(self, crops: Tensor) -> Tensor:
        return crops

    def encode_template(self, images: Tensor, *, masks: bool) -> Template:
        self.templates.append(images[0].permute(1, 2, 0).numpy())
        part = images[:, :1, :1, :1].float()
        return Template(part, part, part if masks else None)

    def search(self, template: Template, images: Tensor) -> SearchAnswer:
        self.crops.append(images[0].permute(1, 2, 0).numpy())
        return SearchAnswer(self.scores, self.boxes, None, [])

    def masks(self, answer: SearchAnswer, cells: Tensor) -> Tensor:
        self.cells += cells.tolist()
        return MASK


def tracker_of(network: Told, settings: SiamMaskSettings) -> SiamMaskTracker:
    return SiamMaskTracker(network, Question(Geometry.fit(HEIGHT, WIDTH)), settings)  # type: ignore[arg-type]


def chosen(network: Told, target: Target, settings: SiamMaskSettings) -> Choice:
    return choose(
        network.scores[0].numpy(),
        network.boxes[0].numpy(),
        centred_grid(Anchors(), 25),
        target,
        settings.following,
    )


@pytest.mark.parametrize(
    "settings",
    [replace(BASE, smallest_area=2.0), PYSOT, replace(VOT, mask_threshold=0.7), replace(LIGHT, mask_share=0.3)],
)
def test_each_step(settings: SiamMaskSettings) -> None:
    network = Told()
    tracker = tracker_of(network, settings)
    colour, half_up = channel_mean(FRAMES[0]), settings.half_up
    target, shown = START, True
    for index, frame in enumerate(FRAMES):
        answer = tracker.follow(Frame(index, frame), {1: ObjectPrompt(boxes=[SHOWN])} if shown else {})[1]
        place, large = (target.x, target.y), round(target.side * 255 / 127)
        assert np.array_equal(network.crops[-1], square(frame, place, large, 255, colour, half_up=half_up))
        choice = chosen(network, target, settings)
        assert network.cells[-1] == [0, 14, 9] == [0, *choice.cell]
        where = MaskPlace.of(target, choice, 255, 8)
        own = placed(MASK.sigmoid().numpy()[0], where, (HEIGHT, WIDTH), settings.outside)
        assert np.array_equal(answer.map, own)
        inside = choice.target.inside(HEIGHT, WIDTH)
        upright = START if shown else inside if settings.clamp_first else choice.target
        turned = None if shown else rotated_box(own > settings.mask_threshold, settings.smallest_area)
        assert answer.box is not None
        assert answer.box == pytest.approx(upright.corners() if turned is None else turned)
        if not shown:
            target = inside
            if settings.mask_share:  # the mask is of one piece
                rows, columns = np.nonzero(own > settings.mask_threshold)
                left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                seen = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
                found = choice.target.x, choice.target.y, choice.target.width, choice.target.height
                target = Target(*(0.7 * a + 0.3 * b for a, b in zip(found, seen, strict=True))).inside(HEIGHT, WIDTH)
                assert target != inside
        assert tracker.objects[1].target == target and tracker.objects[1].score == (1 if shown else choice.score)
        shown = False
    first = square(FRAMES[0], (START.x, START.y), round(SIDE), 127, colour, half_up=half_up)
    assert np.array_equal(network.templates, [first]), "the template is cut once"
    assert round(SIDE) > SIDE, "and its side is rounded, not cut off"


def test_settings_make_a_difference() -> None:
    """That the cases above are told apart: threshold, smallest area, and boxes of what leaves the frame."""
    network = Told(moved=(6.0, -4.0, 0.4, -0.5))
    boxes = []
    for settings in (BASE, replace(BASE, smallest_area=2.0), replace(BASE, smallest_area=2.0, mask_threshold=0.7)):
        tracker = tracker_of(network, settings)
        tracker.follow(Frame(0, FRAMES[0]), {1: ObjectPrompt(boxes=[SHOWN])})
        found = tracker.follow(Frame(1, FRAMES[1]), {})[1].box
        assert found is not None
        boxes.append(found.tolist())
    assert boxes[0] != boxes[1] != boxes[2]
    uprights = []
    for settings in (VOT, replace(VOT, clamp_first=True)):
        tracker = tracker_of(network, replace(settings, smallest_area=1e6))
        tracker.follow(Frame(0, FRAMES[0]), {1: ObjectPrompt(boxes=[SHOWN])})
        found = tracker.follow(Frame(1, FRAMES[1]), {})[1].box
        assert found is not None
        uprights.append(found.mean(0))
        assert (tracker.objects[1].target.x, tracker.objects[1].target.y) == (WIDTH, 0)
    assert uprights[0][0] > WIDTH == uprights[1][0] and uprights[0][1] < 0 == uprights[1][1]


def test_what_is_shown_is_never_lost_and_lost_is_below_alone() -> None:
    network = Told()
    score = chosen(network, START, BASE).score
    for least, lost in ((score, False), (score + 1e-6, True)):
        tracker = tracker_of(network, replace(BASE, lost_below=least))
        first = tracker.follow(Frame(0, FRAMES[0]), {1: ObjectPrompt(boxes=[SHOWN])})[1]
        assert first.box is not None and first.map.max() > 0
        assert (tracker.follow(Frame(1, FRAMES[1]), {})[1].box is None) == lost


def test_masks_of_an_object_are_joined_and_boxes_are_rounded() -> None:
    tracker = tracker_of(Told(), BASE)
    left, right = np.zeros((2, HEIGHT, WIDTH), bool)
    left[10:30, 20:40], right[15:42, 60:77] = True, True
    said = {1: ObjectPrompt(masks=[Mask(1, left), Mask(1, right)])}
    (result,) = tracker.answer(Clip(Span(0, 1, 1), [Frame(0, FRAMES[0])], {0: said}))
    assert np.array_equal(result.labels == 1, left | right)
    assert tracker.objects[1].target == Target(48.5, 26, 57, 32)
    assert sorted(result.rotated_boxes[1]) == [(60, 15), (60, 41), (76, 15), (76, 41)], "of the larger part"
    (later,) = tracker.answer(Clip(Span(1, 2, 2), [Frame(1, FRAMES[1])], {}))
    box = np.array(later.rotated_boxes[1])
    assert (box != box.round()).any() and np.array_equal(box, box.round(3))


def test_boxes_are_laid_into_the_frame_along_both_sides() -> None:
    inside = box_map(Target(5, 2, 4, 2), (4, 9), 0.0)
    assert np.argwhere(inside == 1).tolist() == [[y, x] for y in (1, 2) for x in range(3, 7)]


def test_other_prompts_beside_a_box_are_refused() -> None:
    for more in (ObjectPrompt(boxes=[SHOWN], texts=["dog"]), ObjectPrompt(boxes=[SHOWN], scribbles=[STROKE])):
        with pytest.raises(UserError, match="object 1 is not shown by a box or mask"):
            tracker_of(Told(), BASE).follow(Frame(0, FRAMES[0]), {1: more})
    square_input = Question(Geometry.fit(HEIGHT, WIDTH, square=128))
    with pytest.raises(UserError, match="cuts its crops from frames as they are"):
        SiamMaskTracker(Told(), square_input, BASE)  # type: ignore[arg-type]


STROKE = Scribble(1, [[(0.1, 0.1), (0.2, 0.3)]])
