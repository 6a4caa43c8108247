"""VIPOSeg: what is written comes back, and objects are shown where they are new."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from univs.errors import UserError
from univs.evaluation.metrics.viposeg_pvos import score
from univs.formats import read_set
from univs.formats.sample import VideoSample
from univs.formats.viposeg import write


def with_unknown(clip: VideoSample) -> VideoSample:
    """The clip with a corner that nobody labelled, and a segment that is not seen on the first frame."""
    assert clip.panoptic is not None
    panoptic, late = clip.panoptic.copy(), max(clip.stuff)
    panoptic[:, :6, :6] = 255
    panoptic[0][panoptic[0] == late] = 255
    return VideoSample(clip.frames, clip.labels, clip.categories, True, clip.name, panoptic, clip.stuff)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_segments_come_back(split: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    clips = [with_unknown(clip) for clip in synth_clips]
    write(clips, tmp_path, split)
    found = pickle.loads(pickle.dumps(read_set("viposeg", tmp_path, split)))
    assert found.classes[60] == "person" and 60 in found.things and found.classes[28] == "sky"
    for clip, recording in zip(clips, found.recordings, strict=True):
        assert clip.panoptic is not None
        sample = recording.sample()
        np.testing.assert_array_equal(sample.panoptic, clip.panoptic)
        np.testing.assert_array_equal(sample.labels, np.where(clip.panoptic == 255, 0, clip.panoptic))
        assert recording.name == clip.name and recording.frames[1].name == "00000001.jpg"
        ids = sorted(set(np.unique(clip.panoptic).tolist()) - {255})
        assert sorted({**recording.categories, **recording.stuff}) == ids
        assert sorted(recording.stuff) == [number for number in ids if number in clip.stuff]
        starts = {number: int(np.flatnonzero((clip.panoptic == number).any((1, 2)))[0]) for number in ids}
        assert recording.shown == (starts if split == "valid" else {})
    if split == "valid":
        assert found.recordings[0].shown[max(clips[0].stuff)] == 1


def test_names_that_vipseg_knows_are_kept(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, "valid")
    recording = read_set("viposeg", tmp_path).recordings[0]
    known = {number: noun for number, noun in synth_clips[0].stuff.items() if noun in ("sky", "water", "road")}
    assert known and {number: recording.stuff[number] for number in known} == known


def test_the_truth_scores_full_marks(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write([with_unknown(clip) for clip in synth_clips], tmp_path, "valid")
    given = tmp_path / "valid" / "Annotations" / synth_clips[0].name
    assert sorted(path.name for path in given.iterdir()) == ["00000000.png", "00000001.png"]
    summary = score(tmp_path / "valid", tmp_path / "valid" / "Annotations_gt").summary
    found = [value for key, value in summary.items() if key.endswith("_iou") and value == value]
    assert len(found) >= 2 and set(found) == {1.0} and summary["decay"] == 0


def test_what_is_missing_is_named(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, "valid")
    path = tmp_path / "valid" / "obj_class.json"
    told = json.loads(path.read_text())
    told[synth_clips[1].name]["1"] = 124
    path.write_text(json.dumps(told))
    found = read_set("viposeg", tmp_path)
    with pytest.raises(UserError, match=r"obj_class\.json: object 1 of .* is of class 124"):
        found.recordings[1]
    del told[synth_clips[1].name]
    path.write_text(json.dumps(told))
    with pytest.raises(UserError, match=r"obj_class\.json does not hold what was expected"):
        read_set("viposeg", tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=r"no file .*obj_class\.json"):
        read_set("viposeg", tmp_path)
    with pytest.raises(UserError, match="no folder .*train"):
        read_set("viposeg", tmp_path, "train")
    without = VideoSample(synth_clips[0].frames, synth_clips[0].labels, name="bare")
    with pytest.raises(UserError, match="clip bare has no panoptic map"):
        write([without], tmp_path, "valid")
