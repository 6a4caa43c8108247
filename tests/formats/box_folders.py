"""Small folders of videos and images that have boxes and no masks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def write_frames(folder: Path, names: Sequence[str], size: tuple[int, int] = (40, 60)) -> None:
    """Noise of H x W pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)


def write_mot(root: Path) -> None:
    """Two sequences of four frames: object 7 moves right, 30 is seen on frames 2 and 4; one line does not count."""
    for name in ("one", "two"):
        write_frames(root / name / "img1", [f"{t:06d}.png" for t in range(1, 5)])
        (root / name / "gt").mkdir()
        lines = [f"{t},7,{5 * t},4,20,16,1,1,1.0" for t in range(1, 5)]
        lines += ["2,30,30,20,12.5,10,1,1,0.8", "4,30,31,20,12.5,10", "3,31,0,0,5,5,0,8,1"]
        (root / name / "gt" / "gt.txt").write_text("\n".join(lines) + "\n")


def write_csv(root: Path) -> None:
    """One video of three frames, of which the second has no line; frames by name and by number."""
    write_frames(root / "JPEGImages" / "cat", ["a.png", "b.png", "c.png"])
    lines = ["id, frame, video, x, y, width, height", "k, a.png, cat, 4, 5, 30, 20", "j,2,cat,8,8,16,16"]
    (root / "boxes.csv").write_text("\n".join([*lines, "k,c,cat,6,5,30,20"]) + "\n")


def write_coco(root: Path, masks: bool = False) -> None:
    """Three images: two boxes, one and a crowd, none. masks: rows have segmentations that nobody can read."""
    write_frames(root / "images", ["0.png", "1.png", "2.png"])
    images = [{"id": n, "file_name": f"{n}.png", "height": 40, "width": 60} for n in range(3)]
    boxes = [(0, [4, 5, 30, 20]), (0, [20, 2, 25, 30]), (1, [3, 3, 50, 30])]
    rows = [{"id": k, "image_id": n, "category_id": 1, "bbox": box} for k, (n, box) in enumerate(boxes)]
    rows.append({"id": 9, "image_id": 1, "category_id": 1, "iscrowd": 1})
    if masks:
        rows = [{**row, "segmentation": "broken"} for row in rows]
    content = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "cat"}]}
    (root / "annotations.json").write_text(json.dumps(content))


def write_ytvis(root: Path, masks: bool = False) -> None:
    """YouTube-VIS 2021, split train: a video of three frames, two objects, a crowd. masks: none that can be read."""
    write_frames(root / "train" / "JPEGImages" / "v", [f"{t}.png" for t in range(3)])
    video = {"id": 1, "file_names": [f"v/{t}.png" for t in range(3)], "height": 40, "width": 60, "length": 3}
    tubes = [[[2, 3, 20, 10], None, [4, 3, 20, 10]], [[10, 10, 30, 25], [11, 10, 30, 25], [0, 0, 0, 0]]]
    rows = [{"id": k, "video_id": 1, "category_id": 1, "iscrowd": 0, "bboxes": tube} for k, tube in enumerate(tubes)]
    rows.append({"id": 9, "video_id": 1, "category_id": 1, "iscrowd": 1, "bboxes": [[0, 0, 5, 5]] * 3})
    if masks:
        rows = [{**row, "segmentations": ["broken"] * 3} for row in rows]
    content = {"videos": [video], "annotations": rows, "categories": [{"id": 1, "name": "cat"}]}
    (root / "train" / "instances.json").write_text(json.dumps(content))
