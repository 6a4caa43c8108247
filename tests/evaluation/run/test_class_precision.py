"""Average precision of masks with one class against pycocotools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from univs.evaluation.metrics.tube_precision import precision_at_recalls
from univs.evaluation.run.figure_writer import FigureWriter
from univs.evaluation.run.labelled_images import ClassPrecision, match_image
from univs.formats import RecordingSet

Figures = dict[str, dict[str, Any]]


def detections(scores: np.ndarray, ious: np.ndarray, excused: np.ndarray) -> list[list[Any]]:
    return [list(row) for row in zip(scores.tolist(), ious.tolist(), excused.tolist(), strict=True)]


def precision_of(images: list[Figures]) -> dict[str, float]:
    """Class -> AP50 of what was found on some images."""

    class Written(FigureWriter):
        def all(self, recordings: Sequence[Any]) -> dict[str, Any]:
            return {str(number): figures for number, figures in enumerate(images)}

    data, writer = RecordingSet("", "", Path(), ()), Written(Path(), lambda recording: None)  # type: ignore[arg-type, return-value]
    return {name: row["AP50"] for name, row in ClassPrecision().score(data, (), Path(), writer).rows.items()}


def test_a_worse_detection_of_a_found_object_is_wrong() -> None:
    ious = np.array([[0.4, 0.6], [0.9, 0.0], [0.8, 0.0]])
    found = match_image(detections(np.array([0.1, 0.9, 0.5]), ious, np.zeros(3, bool)), 2)
    assert found.right.tolist() == [[[True, False, True]]] and not found.ignored.any()


def test_precision_at_each_recall() -> None:
    """Hit, miss, hit of four objects: precision 1 up to recall 1/4, 2/3 up to 2/4, then 0."""
    ious = np.array([[0.9, 0, 0, 0], [0.1, 0, 0, 0], [0, 0.8, 0, 0]])
    found = match_image(detections(np.array([0.9, 0.8, 0.7]), ious, np.zeros(3, bool)), 4)
    assert precision_at_recalls([found], (1, 1)).mean() == pytest.approx((26 * 1 + 25 * 2 / 3) / 101)


def test_classes_without_objects_have_no_score() -> None:
    cat, dog = {"objects": 0, "detections": [[0.5, [], False]]}, {"objects": 2, "detections": []}
    assert precision_of([{"cat": cat, "dog": dog}]) == {"dog": 0.0}


def test_equals_pycocotools(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(3)
    truth: list[dict[str, object]] = []
    found: list[dict[str, object]] = []
    images: list[Figures] = []
    names = ("cat", "dog")
    for image in range(1, 9):
        images.append({})
        for category, name in enumerate(names, start=1):
            objects = [blob(rng) for _ in range(int(rng.integers(0, 4)))]
            crowd = blob(rng)
            shown = [np.roll(o, int(rng.integers(0, 9)), 1) for o in objects] + [blob(rng), crowd]
            scores = rng.permutation(100)[: len(shown)] / 100
            for number, mask in enumerate([*objects, crowd]):
                truth.append(annotation(mask, image, category, len(truth) + 1, number == len(objects)))
            for mask, value in zip(shown, scores, strict=True):
                rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
                found.append({"image_id": image, "category_id": category, "segmentation": rle, "score": float(value)})
            ious = np.array([[(d & o).sum() / (d | o).sum() for o in objects] for d in shown])
            excused = np.array([(d & crowd).sum() >= 0.5 * d.sum() for d in shown])
            told = detections(scores, ious.reshape(len(shown), len(objects)), excused)
            images[-1][name] = {"objects": len(objects), "detections": told}
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
    assert precision_of(images) == pytest.approx(expected)
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
