"""What all tests share."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def conformance() -> Path:
    """The folder of the golden figures; a test that asks for it is skipped where they are absent."""
    root = Path(os.environ.get("UNIVS_CONFORMANCE", REPOSITORY.parent / "shared" / "conformance"))
    if not root.is_dir():
        pytest.skip(f"no golden figures at {root} (set UNIVS_CONFORMANCE)")
    return root


def textured(height: int, width: int, seed: int) -> np.ndarray:
    """A smooth random picture, H W 3 uint8."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return np.array(coarse.resize((width, height), Image.Resampling.BICUBIC))


def write_indexed(path: Path, labels: np.ndarray) -> None:
    image = Image.fromarray(labels.astype(np.uint8), mode="P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    image.save(path)


@pytest.fixture
def frames(tmp_path: Path) -> str:
    """A folder of three frames of 20x30."""
    (tmp_path / "frames").mkdir()
    for index in range(3):
        Image.new("RGB", (30, 20), (index, 0, 0)).save(tmp_path / "frames" / f"{index}.png")
    return str(tmp_path / "frames")


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Three photos of 120 x 160 with a 50 x 60 rectangle as object."""
    root = tmp_path / "cats"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for number in range(3):
        mask = np.zeros((120, 160), np.uint8)
        mask[30:80, 40 + number : 100 + number] = 255
        Image.fromarray(textured(120, 160, number)).save(root / "images" / f"p{number}.jpg", quality=95)
        Image.fromarray(mask).save(root / "masks" / f"p{number}.png")
    return root


@pytest.fixture
def coco_folder(tmp_path: Path) -> Path:
    """Three images of 80 x 100: polygons, uncompressed RLE, stuff, a crowd, a group; see the entries."""
    root = tmp_path / "coco"
    (root / "images").mkdir(parents=True)
    for number in range(3):
        Image.fromarray(textured(80, 100, number)).save(root / "images" / f"{number}.jpg")

    def box(x0: int, y0: int, x1: int, y1: int) -> list[list[int]]:
        return [[x0, y0, x1, y0, x1, y1, x0, y1]]

    right_half = {"size": [80, 100], "counts": [80 * 50, 80 * 50]}
    annotations = [
        {"image_id": 1, "category_id": 2, "segmentation": box(10, 10, 20, 20)},
        {"image_id": 1, "category_id": 1, "segmentation": box(5, 5, 45, 45)},
        {"image_id": 1, "category_id": 3, "segmentation": box(0, 0, 100, 80), "stuff": 1},
        {"image_id": 1, "category_id": 1, "segmentation": right_half, "iscrowd": 1},
        {"image_id": 2, "category_id": 1, "segmentation": right_half},
        {"image_id": 2, "category_id": 2, "segmentation": box(2, 2, 30, 30), "mask_level": "group"},
        {"image_id": 3, "category_id": 1, "segmentation": box(0, 0, 50, 50)},
    ]
    images = [{"id": i + 1, "file_name": f"{i}.jpg", "width": 100, "height": 80} for i in range(3)]
    images[1]["only_categories"] = ["person"]
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "tie"}, {"id": 3, "name": "sky"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def video_folder(tmp_path: Path) -> Path:
    """`walk`: five frames of 90 x 120, two objects moving right, indexed; `ball`: three frames, a binary mask."""
    root = tmp_path / "davis"
    for name, count in (("walk", 5), ("ball", 3)):
        images, masks = root / "JPEGImages" / "480p" / name, root / "Annotations" / "480p" / name
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for index in range(count):
            labels = np.zeros((90, 120), np.uint8)
            labels[20:60, 10 + 5 * index : 50 + 5 * index] = 1
            if name == "walk":
                labels[50:80, 60 + 5 * index : 90 + 5 * index] = 3
                write_indexed(masks / f"{index:05d}.png", labels)
            else:
                Image.fromarray(labels * 255).save(masks / f"{index:05d}.png")
            Image.fromarray(textured(90, 120, index)).save(images / f"{index:05d}.jpg")
    return root
