"""Whole tracks: one object with each set of numbers, several together, and the arithmetic alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco
from torch import Tensor

from univs.masks.geometry import Geometry
from univs.masks.rotated_boxes import rotated_box
from univs.models.siammask import SearchAnswer, SiamMask, Template
from univs.models.siammask_anchors import Anchors
from univs.prompts import Box, Mask
from univs.trackers.object_prompts import ObjectPrompt
from univs.trackers.siammask import (
    DAVIS,
    FollowedObject,
    SiamMaskSettings,
    SiamMaskTracker,
    merged,
)
from univs.trackers.siammask_answers import Target, cosine_window
from univs.trackers.tracker import Frame, Question

pytestmark = pytest.mark.conformance
Networks = Callable[[str], SiamMask]
SETTINGS = {
    "hp_penalty_k": "change_penalty",
    "hp_window_influence": "window_share",
    "hp_lr": "size_rate",
    "hp_seg_thr": "mask_threshold",
    "hp_instance_size": "search_side",
}


def settings_of(golden: Any, **more: Any) -> SiamMaskSettings:
    """The recorded numbers; those that are missing are the defaults."""
    given = {ours: golden[theirs].item() for theirs, ours in SETTINGS.items() if theirs in golden}
    return SiamMaskSettings(**{**given, **more})


def tracker_of(model: Any, settings: SiamMaskSettings, size: tuple[int, int]) -> SiamMaskTracker:
    return SiamMaskTracker(model, Question(Geometry.fit(*size)), settings)


def overlap(ours: np.ndarray, theirs: np.ndarray, finer: int = 16) -> float:
    """IoU of two quadrilaterals, on a grid finer than pixels."""
    points = [np.asarray(quad, float).reshape(4, 2) for quad in (ours, theirs)]
    low = np.minimum(*(quad.min(0) for quad in points)) - 1
    high = np.maximum(*(quad.max(0) for quad in points)) + 1
    width, height = (np.ceil((high - low) * finer)).astype(int)
    rles = [coco.frPyObjects([((quad - low) * finer).ravel().tolist()], int(height), int(width))[0] for quad in points]
    return float(coco.iou(rles[:1], rles[1:], [0])[0, 0])


def bits(golden: Any, name: str) -> np.ndarray:
    shape = tuple(golden[f"{name}__shape"])
    return np.unpackbits(golden[f"{name}_bits"])[: np.prod(shape)].reshape(shape).astype(bool)


@pytest.mark.files("track_*")
def test_one_object(golden: Any, siammask: Networks) -> None:
    frames = golden["frames_u8"]
    masks = any(re.fullmatch(r"t\d+_mask_bits", name) for name in golden)
    settings = settings_of(golden, masks=masks)
    base = golden["hp_out_size"].item() == 63 if "hp_out_size" in golden else True
    model = siammask("siammask_base" if base else "siammask").ready("float32", False)
    tracker = tracker_of(model, settings, frames.shape[1:3])
    (x, y), (width, height) = golden["init_pos"].tolist(), golden["init_size"].tolist()
    said = ObjectPrompt(boxes=[Box(1, (x - width / 2, y - height / 2, x + width / 2, y + height / 2))])
    tracker.follow(Frame(0, frames[0]), {1: said})
    began = tracker.objects[1]
    assert began.around[::-1].tolist() == golden["channel_mean"].astype(np.uint8).tolist()
    assert round(began.target.side) == golden["template_original_size"]
    assert np.allclose(cosine_window(1, golden["window"].shape[0]), golden["window"].ravel(), atol=1e-6)
    check_crop(tracker._crop(frames[1], began), golden["t1_search_u8"])
    for index in range(1, len(frames)):
        answer = tracker.follow(Frame(index, frames[index]), {})[1]
        now = tracker.objects[1]
        golden.check(f"t{index}_pos", np.array([now.target.x, now.target.y]), 0.05)
        golden.check(f"t{index}_size", np.array([now.target.width, now.target.height]), 0.05)
        golden.check(f"t{index}_score", np.array(now.score), 2e-3)
        if masks:
            golden.check(f"t{index}_mask", answer.map, 0.1)
            want = bits(golden, f"t{index}_mask")
            assert (want != (answer.map > settings.mask_threshold)).mean() <= 3e-3
            box = rotated_box(want, settings.smallest_area)
            box = now.target.corners() if box is None else box
            assert overlap(box, golden[f"t{index}_polygon"]) >= 0.98


def check_crop(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Ours S S 3 RGB against 3 S S BGR."""
    differences = np.abs(ours[..., ::-1].transpose(2, 0, 1).astype(int) - theirs.astype(int))
    assert differences.max() <= 1 and (differences > 0).mean() <= 0.1


class Recorded:
    """A network that answers what it is told to."""

    anchors = Anchors()
    pixel_mean = torch.zeros(3, 1, 1)

    def __init__(self) -> None:
        self.scores = self.boxes = torch.empty(0)
        self.mask_logits = torch.empty(0)
        self.cell: list[int] = []

    def images(self, crops: Tensor) -> Tensor:
        return crops

    def search(self, template: Template, images: Tensor) -> SearchAnswer:
        assert images.shape[0] == 1 and template.cls.shape[0] == 1
        return SearchAnswer(self.scores, self.boxes, None, [])

    def masks(self, answer: SearchAnswer, cells: Tensor) -> Tensor:
        self.cell = cells[0, 1:].tolist()
        return self.mask_logits[None]


@pytest.mark.files("tracker_logic*")
def test_the_arithmetic_alone(golden: Any) -> None:
    size = tuple(golden["image_size_hw"].tolist())
    model, settings = Recorded(), settings_of(golden)
    tracker = tracker_of(model, settings, size)
    nothing = Template(torch.zeros(1), torch.zeros(1), None)
    start = Target(*golden["start_pos"].tolist(), *golden["start_size"].tolist())
    tracker.objects[1] = FollowedObject(nothing, np.zeros(3, np.uint8), start)
    draws = np.random.Generator(np.random.PCG64(int(golden["seed"])))
    count = sum(1 for name in golden if re.fullmatch(r"s\d+_kind", name))
    assert count > 0
    for step in range(count):
        scores = (draws.standard_normal((1, 10, 25, 25)) * 1.5).astype(np.float32)
        boxes = (draws.standard_normal((1, 20, 25, 25)) * 0.25).astype(np.float32)
        if str(golden[f"s{step}_kind"]) in ("tiny", "full"):
            boxes[:, 10:] += 1.5
        assert float(scores.astype(np.float64).sum()) == pytest.approx(float(golden[f"s{step}_cls_sum"]), abs=1e-3)
        assert float(boxes.astype(np.float64).sum()) == pytest.approx(float(golden[f"s{step}_loc_sum"]), abs=1e-3)
        model.scores = torch.from_numpy(scores).view(1, 2, 5, 25, 25)
        model.boxes = torch.from_numpy(boxes).view(1, 4, 5, 25, 25)
        model.mask_logits = torch.from_numpy(golden[f"s{step}_mask_logits"].astype(np.float32))
        answer = tracker.follow(Frame(step, np.zeros((*size, 3), np.uint8)), {})[1]
        now = tracker.objects[1]
        assert model.cell == golden[f"s{step}_cell_yx"].tolist()
        golden.check(f"s{step}_pos", np.array([now.target.x, now.target.y]), 1e-4)
        golden.check(f"s{step}_size", np.array([now.target.width, now.target.height]), 1e-4)
        golden.check(f"s{step}_score", np.array(now.score), 1e-4)
        golden.check(f"s{step}_mask", answer.map, 1e-4)
        assert np.array_equal(bits(golden, f"s{step}_mask"), answer.map > settings.mask_threshold)
        assert answer.box is not None and overlap(answer.box, golden[f"s{step}_polygon"]) >= 0.98


def mean_iou(maps: np.ndarray, truth: np.ndarray, number: int, frames: slice, threshold: float) -> float:
    """Of one object over some frames, where N T H W maps compete; nothing where nothing is counts 1."""
    found = (maps.argmax(0) == number - 1) & (maps.max(0) > threshold)
    found, wanted = found[frames], (truth == number)[frames]
    shared, either = (found & wanted).sum((1, 2)), (found | wanted).sum((1, 2))
    return float(np.where(either == 0, 1, shared / np.maximum(either, 1)).mean())


@pytest.mark.files("two_objects*")
def test_two_objects(golden: Any, siammask: Networks) -> None:
    check_objects(golden, siammask, {})


@pytest.mark.files("late_object*")
def test_an_object_that_comes_later(golden: Any, siammask: Networks) -> None:
    ends = dict(enumerate(golden["end_frames"].tolist(), start=1))
    check_objects(golden, siammask, ends)


def check_objects(golden: Any, siammask: Networks, ends: Mapping[int, int]) -> None:
    frames, truth = golden["frames_u8"], golden["masks_idx"]
    count = golden["mean_iou"].shape[0]
    starts = golden["start_frames"].tolist() if "start_frames" in golden else [0] * count
    tracker = tracker_of(siammask("siammask").ready("float32", False), DAVIS, frames.shape[1:3])
    maps = np.full((count, *frames.shape[:3]), -1, np.float32)
    want, wrong = golden.labels("labels"), 0
    for index, frame in enumerate(frames):
        said = {
            number: ObjectPrompt(masks=[Mask(number, truth[index] == number)])
            for number in range(1, count + 1)
            if starts[number - 1] == index
        }
        for number, end in ends.items():
            if index == end + 1:
                tracker.remove(number)
        answers = tracker.follow(Frame(index, frame), said)
        for number, answer in answers.items():
            maps[number - 1, index] = answer.map
        labels = merged({number: one.map for number, one in sorted(answers.items())}, frame.shape[:2], 0.35)
        wrong += int((labels != want[index]).sum())
    print(f"{golden.name}: share of labels that differ {wrong / want.size:.1e}")
    assert wrong / want.size <= 3e-3
    for number, recorded in enumerate(golden["mean_iou"], start=1):
        among = slice(starts[number - 1] + 1, ends.get(number, len(frames)) - 1)
        got = [mean_iou(maps, truth, number, among, threshold) for threshold in (0.3, 0.35, 0.4, 0.45)]
        assert got == pytest.approx(recorded, abs=5e-3)
