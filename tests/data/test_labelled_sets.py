"""Sources of the official stages: what is read of a folder, what is held out, and what is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from univs.data.labelled_sets import open_images, open_masks, open_set, open_videos
from univs.data.synth import SynthVS
from univs.errors import UserError
from univs.formats import find_set


def export(name: str, root: Path) -> list[str]:
    """Two videos as a public set; their names."""
    known, world = find_set(name), SynthVS("val", (64, 96), 2, seed=5)
    known.load().write([world[0], world[1]], root, "train", **known.options)
    return [recording.name for recording in known.load().read(root, "train", **known.options).recordings]


def test_public_sets(tmp_path: Path) -> None:
    first, second = export("ytvis21", tmp_path)
    opened = open_set("ytvis21", tmp_path, exclude=[first], ask={"shown": 1.0, "categories": 3.0}, near=5)
    assert [video.name for video in opened.videos] == [second] and opened.near == 5  # type: ignore[attr-defined]
    assert opened.shares == {"shown": 1.0, "categories": 3.0} and not opened.described
    assert len(opened.classes) > 300 and opened.numbers[opened.classes[7]] == 7
    usual = open_set("ytvis21", tmp_path)
    assert len(usual) == 2 and usual.near is None and usual.shares == {"shown": 0.31, "categories": 0.69}
    with pytest.raises(UserError, match="ytvis21 in .*: the split train has nothing labelled left"):
        open_set("ytvis21", tmp_path, exclude=[first, second])
    with pytest.raises(UserError, match="ytvis21 in .* has no expressions to be asked for"):
        open_set("ytvis21", tmp_path, ask={"expressions": 1.0})


def test_sets_of_expressions(tmp_path: Path) -> None:
    export("ref_ytvos", tmp_path)
    opened = open_set("ref_ytvos", tmp_path)
    assert opened.described and opened.classes == () and opened.shares == {"expressions": 1.0}
    assert open_set("ref_ytvos", tmp_path, ask={"shown": 1.0}).shares == {"shown": 1.0}


def test_folders_of_ones_own(video_folder: Path, photo_folder: Path, coco_folder: Path, tmp_path: Path) -> None:
    def names(opened: object) -> list[str]:
        return [video.name for video in opened.videos]  # type: ignore[attr-defined]

    videos = open_videos(video_folder, exclude=["walk"], near=3)
    assert names(videos) == ["davis/ball"] and videos.near == 3 and videos.shares == {"shown": 1.0}
    (tmp_path / "some.txt").write_text("walk\n")
    assert names(open_videos(video_folder, image_set=tmp_path / "some.txt")) == ["davis/walk"]
    assert names(open_masks(photo_folder, exclude=["p1.jpg"])) == ["cats/p0.jpg", "cats/p2.jpg"]
    images = open_images(coco_folder, exclude=["coco/1.jpg"], ask={"categories": 1.0})
    assert names(images) == ["coco/0.jpg", "coco/2.jpg"] and images.classes == ("person", "tie", "sky")
    assert images.shares == {"categories": 1.0} and not images.described


def test_expressions_of_ones_own(coco_folder: Path) -> None:
    path = coco_folder / "annotations.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["id"] = 8
    path.write_text(json.dumps(content))
    (coco_folder / "said.json").write_text('{"expressions": [{"expression": "the tie", "annotation_id": 8}]}')
    opened = open_images(coco_folder, expressions=coco_folder / "said.json")
    assert opened.described and opened.shares == {"expressions": 1.0}
    assert list(opened.videos[0].sample().expressions.values()) == [["the tie"]]
