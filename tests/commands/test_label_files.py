"""Label maps as files, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from univs.commands.label_files import color_coded
from univs.commands.output_folder import OutputFolder
from univs.results import FrameResult

FRAME = np.zeros((4, 6, 3), np.uint8)


def write(folder: Path, kind: str, *results: FrameResult) -> None:
    with OutputFolder(folder, 25, "", with_overlay=False, kind=kind) as output:
        for result in results:
            output.add(FRAME, result)


def result(index: int, labels: np.ndarray, names: dict[int, str], **more: Any) -> FrameResult:
    return FrameResult(index, labels, tuple(names), names=names, **more)


def test_panoptic_files_are_those_of_coco(tmp_path: Path) -> None:
    labels = np.zeros((4, 6), np.int32)
    labels[1:3, 2:5], labels[3] = 1, 70_000
    write(tmp_path, "panoptic", result(0, labels, {1: "dog", 70_000: "grass"}, stuff=frozenset([70_000])))
    assert sorted(path.name for path in (tmp_path / "panoptic").iterdir()) == ["00000.png", "panoptic.json"]
    red, green, blue = np.moveaxis(np.array(Image.open(tmp_path / "panoptic" / "00000.png")).astype(int), -1, 0)
    assert (red + 256 * green + 256**2 * blue == labels).all()
    content = json.loads((tmp_path / "panoptic" / "panoptic.json").read_text())
    assert content["categories"] == [
        {"id": 1, "name": "dog", "isthing": 1},
        {"id": 2, "name": "grass", "isthing": 0},
    ]
    (annotation,) = content["annotations"]
    assert annotation["file_name"] == "00000.png" and annotation["image_id"] == 0
    assert annotation["segments_info"] == [
        {"id": 1, "category_id": 1, "area": 6, "bbox": [2, 1, 3, 2], "iscrowd": 0},
        {"id": 70_000, "category_id": 2, "area": 6, "bbox": [0, 3, 6, 1], "iscrowd": 0},
    ]


def test_semantic_files_hold_class_numbers_and_their_names(tmp_path: Path) -> None:
    labels = np.array([[1, 2], [3, 3]], np.uint8).repeat(2, 0).repeat(3, 1)
    names = {1: "sky", 2: "sea", 3: "boat"}
    write(tmp_path, "semantic", result(0, labels, names), result(1, labels.astype(np.int32) + 400, {401: "x"}))
    assert (np.array(Image.open(tmp_path / "semantic" / "00000.png")) == labels).all()
    assert (np.array(Image.open(tmp_path / "semantic" / "00001.png")) == labels.astype(int) + 400).all()
    known = json.loads((tmp_path / "semantic" / "categories.json").read_text())
    assert {"id": 3, "name": "boat"} in known and len(known) == 4


def test_objects_above_254_are_written_in_16_bits(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 254, 255, 256, 65535]] * 4, np.int32)
    write(tmp_path, "masks", FrameResult(0, labels, (1, 254, 255, 256, 65535)), FrameResult(1, labels % 255, (1, 254)))
    with Image.open(tmp_path / "masks" / "00000.png") as image:
        assert image.mode == "I;16" and np.array_equal(np.asarray(image), labels)
    with Image.open(tmp_path / "masks" / "00001.png") as image:
        assert image.mode == "P" and np.array_equal(np.asarray(image), labels % 255)


def test_expressions_have_a_folder_each(tmp_path: Path) -> None:
    first, second = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    first[:, :4], second[:, 2:] = True, True
    labels = np.where(second, 2, first).astype(np.uint8)
    for count in (3, 2):  # a shorter run removes what the longer one left
        frames = [result(i, labels, {1: "left", 2: "right"}, separate={1: first, 2: second}) for i in range(count)]
        write(tmp_path, "expressions", *frames)
    assert (np.array(Image.open(tmp_path / "masks" / "1" / "00001.png")) == first).all()
    assert (np.array(Image.open(tmp_path / "masks" / "00001.png")) == labels).all()
    assert not (tmp_path / "masks" / "2" / "00002.png").exists() and not (tmp_path / "masks" / "00002.png").exists()


def test_numbers_as_colours() -> None:
    assert color_coded(np.array([[1, 258, 3 * 65536]])).tolist() == [[[1, 0, 0], [2, 1, 0], [0, 0, 3]]]
