"""VSPW and CamVid: maps of classes come back as segments, void and raw numbers as the real sets have them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs.errors import UserError
from univs.evaluation.metrics.camvid import score as score_camvid
from univs.evaluation.metrics.vspw import reduced
from univs.evaluation.metrics.vspw import score as score_vspw
from univs.formats import find_set, read_set
from univs.formats.borrowed_names import borrow_segments
from univs.formats.sample import VideoSample
from univs.video.pictures import write_picture


def export(name: str, clips: list[VideoSample], root: Path, split: str) -> None:
    find_set(name).load().write(clips, root, split)


@pytest.mark.parametrize(("name", "first"), [("vspw", 0), ("camvid", 1)])
def test_classes_come_back(name: str, first: int, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export(name, synth_clips, tmp_path, "val")
    found = pickle.loads(pickle.dumps(read_set(name, tmp_path, "val")))
    assert (len(found.classes), min(found.classes), len(found.things)) == (
        (124, 1, 58) if name == "vspw" else (11, 0, 3)
    )
    for clip, recording in zip(synth_clips, found.recordings, strict=True):
        assert clip.panoptic is not None and recording.name == clip.name
        borrowed = borrow_segments(clip, found.classes, found.things)
        expected = np.zeros_like(clip.panoptic)
        for number, kind in borrowed.items():
            expected[clip.panoptic == number] = kind + first
        sample = recording.sample()
        np.testing.assert_array_equal(sample.panoptic, expected)
        np.testing.assert_array_equal(sample.labels, np.where(clip.labels != 0, expected, 0))
        names = list(found.classes.values())
        np.testing.assert_array_equal(sample.semantic(names), expected.astype(int) - 1)
        assert sample.stuff[found_id(found.classes, "sky") + first] == "sky" and sample.complete


def found_id(classes: dict[int, str], name: str) -> int:
    return next(number for number, known in classes.items() if known == name)


def test_others_and_void_of_vspw_are_unknown(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export("vspw", synth_clips[:1], tmp_path, "val")
    path = tmp_path / "data" / synth_clips[0].name / "mask" / "00000001.png"
    stored = np.array(Image.open(path))
    stored[0], stored[1], stored[2] = 0, 255, 124
    write_picture(path, stored)
    sample = read_set("vspw", tmp_path)[0]
    assert sample.panoptic is not None
    assert (sample.panoptic[1, :2] == 255).all() and (sample.labels[1, :2] == 255).all()
    assert (sample.labels[1, 2] == 124).all() and sample.categories[124] == "train"
    stored[3] = 125
    write_picture(path, stored)
    with pytest.raises(UserError, match=r"00000001\.png holds class 125; expected 1 to 124 or void"):
        read_set("vspw", tmp_path)[0]


def test_vspw_test_maps_are_not_public(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export("vspw", synth_clips, tmp_path, "test")
    assert not list(tmp_path.glob("data/*/mask"))
    assert [len(recording) for recording in read_set("vspw", tmp_path, "test").recordings] == [5, 5]
    (tmp_path / "test.txt").rename(tmp_path / "val.txt")
    with pytest.raises(UserError, match="no folder .*mask"):
        read_set("vspw", tmp_path).recordings[0]
    numbers = json.loads((tmp_path / "label_num_dic_final.json").read_text())
    assert (numbers["others"], numbers["wall"], numbers["train"]) == ("0", "1", "124")
    (tmp_path / "label_num_dic_final.json").unlink()
    with pytest.raises(UserError, match=r"no file .*label_num_dic_final\.json"):
        read_set("vspw", tmp_path)


def test_camvid_as_images_and_labels(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    """The other common layout, frames as JPEG, and a value above 11."""
    export("camvid", synth_clips, tmp_path, "train")
    before = [sample.panoptic for sample in (read_set("camvid", tmp_path, "train")[k] for k in range(2))]
    (tmp_path / "train").rename(tmp_path / "images")
    (tmp_path / "train").mkdir()
    (tmp_path / "images").rename(tmp_path / "train" / "images")
    (tmp_path / "trainannot").rename(tmp_path / "train" / "labels")
    after = read_set("camvid", tmp_path, "train")
    for k, panoptic in enumerate(before):
        np.testing.assert_array_equal(after[k].panoptic, panoptic)
    path = tmp_path / "train" / "labels" / f"{synth_clips[0].name}_000002.png"
    stored = np.array(Image.open(path))
    stored[:2], stored[2] = 11, 30
    write_picture(path, stored)
    sample = read_set("camvid", tmp_path, "train")[0]
    assert sample.panoptic is not None and (sample.panoptic[2, :3] == 255).all()
    with pytest.raises(UserError, match="camvid test: no folders .*testannot"):
        read_set("camvid", tmp_path, "test")


def test_the_truth_scores_full_marks(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export("camvid", synth_clips, tmp_path, "val")
    assert score_camvid(tmp_path / "valannot", tmp_path / "valannot").summary["mIoU"] == 1
    line = (tmp_path / "val.txt").read_text().splitlines()[0]
    stem = f"{synth_clips[0].name}_000000"
    assert line == f"/SegNet/CamVid/val/{stem}.png /SegNet/CamVid/valannot/{stem}.png"
    export("vspw", synth_clips, tmp_path, "val")
    for recording in read_set("vspw", tmp_path).recordings:
        for path in recording.label_files:
            write_picture(
                tmp_path / "pred" / recording.name / path.name, reduced(np.array(Image.open(path))).astype("u1")
            )
    assert score_vspw(tmp_path, tmp_path / "pred", labels="raw").summary["mIoU"] == 1
