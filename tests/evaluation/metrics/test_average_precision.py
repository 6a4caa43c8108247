"""Average precision against pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from univs.evaluation.metrics.average_precision import AveragePrecision, average_precision, match


def test_a_worse_detection_of_a_found_object_is_wrong() -> None:
    ious = np.array([[0.9, 0.0], [0.8, 0.0], [0.4, 0.6]])
    assert match(ious, 0.5).tolist() == [True, False, True]


def test_precision_at_each_recall() -> None:
    """Hit, miss, hit of four objects: precision 1 up to recall 1/4, 2/3 up to 2/4, then 0."""
    value = average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 4)
    assert value == pytest.approx((26 * 1 + 25 * 2 / 3) / 101)
    assert average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0


def test_classes_without_objects_have_no_score() -> None:
    score = AveragePrecision()
    score.update("cat", np.array([0.5]), np.zeros((1, 0)), np.array([False]))
    score.update("dog", np.zeros(0), np.zeros((0, 2)), np.zeros(0, bool))
    assert score.compute() == {"dog": 0.0}


def test_equals_pycocotools(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(3)
    truth: list[dict[str, object]] = []
    found: list[dict[str, object]] = []
    score = AveragePrecision()
    names = ("cat", "dog")
    for image in range(1, 9):
        for category, name in enumerate(names, start=1):
            objects = [blob(rng) for _ in range(int(rng.integers(0, 4)))]
            crowd = blob(rng)
            detections = [np.roll(o, int(rng.integers(0, 9)), 1) for o in objects] + [blob(rng), crowd]
            scores = rng.permutation(100)[: len(detections)] / 100
            for number, mask in enumerate([*objects, crowd]):
                truth.append(annotation(mask, image, category, len(truth) + 1, number == len(objects)))
            for mask, value in zip(detections, scores, strict=True):
                rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
                found.append({"image_id": image, "category_id": category, "segmentation": rle, "score": float(value)})
            ious = np.array([[(d & o).sum() / (d | o).sum() for o in objects] for d in detections])
            excused = np.array([(d & crowd).sum() >= 0.5 * d.sum() for d in detections])
            score.update(name, scores, ious.reshape(len(detections), len(objects)), excused)
    reference = COCO()
    reference.dataset = {
        "images": [{"id": image, "width": 40, "height": 40} for image in range(1, 9)],
        "annotations": truth,
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
    }
    reference.createIndex()
    evaluator = COCOeval(reference, reference.loadRes(found), "segm")
    evaluator.evaluate()
    evaluator.accumulate()
    capsys.readouterr()
    precision = evaluator.eval["precision"][0, :, :, 0, 2]  # IoU 0.5, all areas, 100 detections
    expected = dict(zip(names, precision.mean(0), strict=True))
    assert score.compute() == pytest.approx(expected)
    assert all(0.1 < value < 0.95 for value in expected.values())


def blob(rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros((40, 40), bool)
    y, x = rng.integers(0, 25, 2)
    mask[y : y + int(rng.integers(6, 15)), x : x + int(rng.integers(6, 15))] = True
    return mask


def annotation(mask: np.ndarray, image: int, category: int, number: int, crowd: bool) -> dict[str, object]:
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": rle,
        "area": int(mask.sum()),
        "bbox": [float(v) for v in coco_mask.toBbox(rle)],
        "iscrowd": int(crowd),
    }
