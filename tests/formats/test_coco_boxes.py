"""Boxes of COCO and YouTube-VIS files, whose masks are absent, or there and not read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.formats.box_folders import write_coco, write_ytvis
from univs.errors import UserError
from univs.formats import read_set
from univs.formats.coco_boxes import read_folder


@pytest.mark.parametrize("masks", [False, True])
def test_coco(tmp_path: Path, masks: bool) -> None:
    write_coco(tmp_path, masks)
    data = read_folder(tmp_path)
    first, second = data.recordings
    assert first.name == f"{tmp_path.name}/0.png" and first.frame(0).shape == (40, 60, 3)
    assert first.boxes_of(0) == {1: (4, 5, 34, 25), 2: (20, 2, 45, 32)} and first.complete
    assert second.boxes_of(0) == {1: (3, 3, 53, 33)} and not second.complete, "a crowd may be any of them"
    assert not read_folder(tmp_path, complete=False).recordings[0].complete
    assert [r.key for r in read_folder(tmp_path, exclude=["0.png"]).recordings] == [1]


def test_coco_that_does_not_fit(tmp_path: Path) -> None:
    write_coco(tmp_path)
    path = tmp_path / "annotations.json"
    content = json.loads(path.read_text())
    for row, said in (({"bbox": [1, 2, 3]}, "four|3 numbers"), ({"bbox": [1, 2, 0, 3]}, "no area"), ({}, "no bbox")):
        plain = {"id": 5, "image_id": 0, "category_id": 1}
        path.write_text(json.dumps({**content, "annotations": [{**plain, **row}]}))
        with pytest.raises(UserError, match=said):
            read_folder(tmp_path)
    path.write_text(json.dumps({**content, "annotations": []}))
    with pytest.raises(UserError, match="no image left with a box"):
        read_folder(tmp_path)


@pytest.mark.parametrize("masks", [False, True])
def test_youtube_vis(tmp_path: Path, masks: bool) -> None:
    """Objects that are not seen have null, or a box without an area; a crowd has no id."""
    write_ytvis(tmp_path, masks)
    (video,) = read_set("ytvis21", tmp_path, "train").recordings
    assert video.annotated == (0, 1, 2)
    assert video.boxes_of(0) == {1: (2, 3, 22, 13), 2: (10, 10, 40, 35)}
    assert video.boxes_of(1) == {2: (11, 10, 41, 35)} and video.boxes_of(2) == {1: (4, 3, 24, 13)}
    with pytest.raises(UserError):
        video.read(0)


def test_youtube_vis_boxes_that_do_not_fit(tmp_path: Path) -> None:
    write_ytvis(tmp_path)
    path = tmp_path / "train" / "instances.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bboxes"] = [[1, 2, 3, 4], [1, 2, 3], "x"]
    path.write_text(json.dumps(content))
    (video,) = read_set("ytvis21", tmp_path, "train").recordings
    for index, said in ((1, "frame 1, object 1"), (2, "frame 2, object 1")):
        with pytest.raises(UserError, match=said):
            video.boxes_of(index)
    content["annotations"][0]["bboxes"] = [None]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="3 frames, one of its objects 1 bboxes"):
        read_set("ytvis21", tmp_path, "train")
